package converge

import (
	"slices"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// CheckData says which keys of a ConfigMap's data could not be used as written, with the
// secret leaves of now. It asks nobody and changes nothing. A section whose values come in
// part from other objects is only parsed: what they hold is not known here.
func (l *Loop) CheckData(data map[string]string) []explain.KeyProblem {
	secret := map[string]values.Map{}
	if leaves := l.store.Section(hook.Global).SecretConfig(); leaves != nil {
		secret[hook.Global.Section()] = leaves
	}
	for _, st := range l.all() {
		if leaves := l.store.Section(st.unit.Owner).SecretConfig(); leaves != nil {
			secret[st.desc().Key] = leaves
		}
	}
	next := settings.Parse(data, secret, settings.Settings{})
	next.Revision = l.configured.newest().Revision + 1
	problems, _ := l.preview(next).check()
	return slices.DeleteFunc(problems, func(p explain.KeyProblem) bool {
		return data[p.Key+"ValuesFrom"] != "" && !slices.ContainsFunc(next.Problems, func(o settings.Problem) bool { return o.Key == p.Key })
	})
}
