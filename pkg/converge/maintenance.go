package converge

import "github.com/addon-operator/addon-operator/pkg/installed"

// maintained says that the module is in maintenance: drift is not repaired, and
// once the release shows the mode, Helm is left out (C-355).
func (p *pass) maintained() bool {
	p.st.mu.Lock()
	defer p.st.mu.Unlock()
	return p.st.maintenance != ""
}

// marked says that the release was made in maintenance.
func marked(r installed.Release) bool { return r.Labels[installed.LabelMaintenance] == "true" }

// unmanaged says that the module is in maintenance and its release shows it.
func (p *pass) unmanaged() bool {
	p.st.mu.Lock()
	defer p.st.mu.Unlock()
	return p.st.maintenance != "" && p.st.release.Status == installed.Deployed && marked(p.st.release)
}
