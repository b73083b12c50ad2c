package settings

import (
	"fmt"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// choices are the settings that make up a source.Choice.
func choices() []string { return []string{"Channel", "Version", "Update", "Source"} }

func isChoice(suffix string) bool { return slices.Contains(choices(), suffix) }

// choiceField is the field that a setting is about.
func choiceField(c *source.Choice, suffix string) *string {
	switch suffix {
	case "Channel":
		return &c.Channel
	case "Version":
		return &c.Version
	case "Update":
		return (*string)(&c.Update)
	}
	return &c.Source
}

// choice reads `<camel>Channel`, `Version`, `Update` or `Source`.
func (s *Settings) choice(base, suffix, key, text string) error {
	chosen, empty, err := scalar(text)
	if empty {
		s.Sections[key] = values.Map{}
		return nil
	}
	if err == nil {
		err = checkChoice(suffix, chosen)
	}
	if err != nil {
		return fmt.Errorf("%w; correct the value or remove %s", err, key)
	}
	s.choose(base, suffix, chosen)
	return nil
}

func checkChoice(suffix, text string) error {
	switch suffix {
	case "Channel":
		return catalog.CheckChannel(text)
	case "Version":
		return source.CheckVersion(text)
	case "Update":
		return source.CheckMode(source.Mode(text))
	}
	if text == source.Embedded {
		return nil
	}
	return source.CheckName(text)
}

func (s *Settings) choose(base, suffix, text string) {
	if s.Choices == nil {
		s.Choices = map[string]source.Choice{}
	}
	c := s.Choices[base]
	*choiceField(&c, suffix) = text
	s.Choices[base] = c
}

// keepChoice takes over the last valid value of a key that cannot be used now.
func (s *Settings) keepChoice(base, suffix string, previous Settings) {
	c, ok := previous.Choices[base]
	if !ok || !isChoice(suffix) {
		return
	}
	if text := *choiceField(&c, suffix); text != "" {
		s.choose(base, suffix, text)
	}
}

// scalar is a YAML scalar as it is written, so that 1.10 stays 1.10 and is no number; text that is no YAML,
// as >=1.2 and * are, stands for itself. Comments alone are empty.
func scalar(text string) (value string, empty bool, err error) {
	var doc yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(text), &doc); err != nil {
		return strings.TrimSpace(text), false, nil //nolint:nilerr // a range such as >=1.2 is no YAML
	}
	if len(doc.Content) == 0 {
		return "", true, nil
	}
	switch n := doc.Content[0]; n.Kind {
	case yamlv3.ScalarNode:
		return strings.TrimSpace(n.Value), strings.TrimSpace(text) == "", nil
	case yamlv3.SequenceNode:
		return "", false, fmt.Errorf("expected text, got a list")
	}
	return strings.TrimSpace(text), false, nil
}
