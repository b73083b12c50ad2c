package channel

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// Origin says where a module comes from. The user's Source wins; else, with Channel or Version set, the
// one source that lists it; else the modules directories; else the one source whose Modules names it. Two
// sources give AmbiguousSource, so that another source never changes what runs. A module whose source does not
// list it any more stays with that source.
func Origin(s Subject) Place {
	switch {
	case s.Choice.Source != "":
		return s.chosen()
	case s.Choice.Channel != "" || s.Choice.Version != "":
		return s.listed()
	case s.OnDisk:
		return Place{Embedded: true}
	}
	return s.named()
}

// chosen is the place that the ConfigMap names.
func (s Subject) chosen() Place {
	name := s.Choice.Source
	if name == source.Embedded {
		if s.OnDisk {
			return Place{Embedded: true}
		}
		return Place{Embedded: true, Reason: ReasonSourceMissing, Message: fmt.Sprintf("module %s should be the embedded one, and no modules directory holds it: remove the key …Source or name a ModuleSource", s.Module)}
	}
	if s.offer(name) == nil {
		return Place{Source: name, Reason: ReasonSourceMissing, Message: fmt.Sprintf("there is no ModuleSource %s: create it, or change the key …Source of module %s", name, s.Module)}
	}
	return Place{Source: name}
}

// listed is the place of a module for which a channel or version is asked.
func (s Subject) listed() Place {
	names := s.sources(s.offers)
	switch {
	case len(names) > 0:
		return s.only(names)
	case s.offer(s.current()) != nil:
		return Place{Source: s.current()}
	case s.OnDisk:
		return Place{Embedded: true}
	}
	return s.named()
}

// named is the place of a module of which the user says nothing and that no directory holds.
func (s Subject) named() Place {
	named := s.sources(func(o Offer) bool { return o.Names(s.Module) })
	listing := s.sources(func(o Offer) bool { return o.Names(s.Module) && s.offers(o) })
	switch {
	case len(listing) > 0:
		return s.only(listing)
	case s.offer(s.current()) != nil:
		return Place{Source: s.current()}
	case len(named) == 1:
		return Place{Source: named[0]}
	case len(named) > 1:
		return Place{Reason: ReasonSourceMissing, Message: fmt.Sprintf("the sources %s may bring module %s, and no document of theirs that was read lists it", strings.Join(named, ", "), s.Module)}
	case s.current() != "":
		return Place{Source: s.current(), Reason: ReasonSourceMissing, Message: fmt.Sprintf("ModuleSource %s, which brought module %s, does not exist any more; what runs keeps running", s.current(), s.Module)}
	}
	return Place{Reason: ReasonSourceMissing, Message: fmt.Sprintf("no modules directory holds module %s and no ModuleSource brings it: list it in spec.modules of one, or set the key …Source", s.Module)}
}

// only is the one source of several names, or AmbiguousSource.
func (s Subject) only(names []string) Place {
	if len(names) == 1 {
		return Place{Source: names[0]}
	}
	return Place{Reason: ReasonAmbiguousSource, Message: fmt.Sprintf("module %s is offered by the sources %s: choose one with the key …Source", s.Module, strings.Join(names, ", "))}
}

// current is the source that brought what runs, "" for none.
func (s Subject) current() string {
	if s.Track.Current == nil {
		return ""
	}
	return s.Track.Current.Source
}

func (s Subject) offer(name string) *Offer {
	i := slices.IndexFunc(s.Offers, func(o Offer) bool { return o.Source.Name == name })
	if name == "" || i < 0 {
		return nil
	}
	return &s.Offers[i]
}

// sources are the names of those offers that match, sorted.
func (s Subject) sources(match func(Offer) bool) []string {
	var out []string
	for _, o := range s.Offers {
		if match(o) {
			out = append(out, o.Source.Name)
		}
	}
	slices.Sort(out)
	return out
}

// offers says that the document of the channel in use lists the module. The source of what runs counts
// as well while its document could not be read, so that no other takes its place meanwhile.
func (s Subject) offers(o Offer) bool {
	d, read := o.Documents[cmp.Or(s.Choice.Channel, o.Source.Channel)]
	if !read {
		return o.Source.Name == s.current()
	}
	_, ok := d.Entry(s.Module)
	return ok
}

// Names says that spec.modules has the module.
func (o Offer) Names(module string) bool {
	return slices.ContainsFunc(o.Source.Modules, func(pattern string) bool {
		ok, err := path.Match(pattern, module)
		return ok && err == nil
	})
}
