package values

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

var nameChars = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Key is the camelCase values key of a kebab-case module name (C-290):
// "cert-manager" > "certManager".
func Key(name string) string {
	words := strings.Split(name, "-")
	for i := 1; i < len(words); i++ {
		if words[i] != "" {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	return strings.Join(words, "")
}

// Name is the kebab-case module name of a values key (C-290): "k8sApi" > "k8s-api".
// A digit does not start a word.
func Name(key string) string {
	r := []rune(key)
	var b strings.Builder
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// CheckName reports why name cannot be a module name (C-282): it must survive
// the way to its values key and back.
func CheckName(name string) error {
	if !nameChars.MatchString(name) {
		return fmt.Errorf("module name %q: expected lower-case words of letters and digits joined by single dashes", name)
	}
	if back := Name(Key(name)); back != name {
		return fmt.Errorf("module name %q becomes %q on its way through the values key %q; consider renaming to %q",
			name, back, Key(name), back)
	}
	return nil
}

// CheckKey reports why key is not the values key of any module name (C-374).
func CheckKey(key string) error {
	name := Name(key)
	if err := CheckName(name); err != nil || Key(name) != key {
		return fmt.Errorf("key %q should be camelCased, such as %q", key, Key(strings.ToLower(name)))
	}
	return nil
}

// Settings are the words that end a key of the user's ConfigMap which sets something about a
// module, as certManagerEnabled does; the key of its section has none.
func Settings() []string {
	return []string{"Enabled", "Maintenance", "PausedUntil", "ValuesFrom", "Channel", "Version", "Update", "Source"}
}

// CutSetting splits a key of the ConfigMap into the section it is about and the word of Settings
// that ends it, "" without one.
func CutSetting(key string) (section, setting string) {
	for _, setting := range Settings() {
		if section, ok := strings.CutSuffix(key, setting); ok && section != "" {
			return section, setting
		}
	}
	return key, ""
}
