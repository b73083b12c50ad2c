package operator

// ActAs has a module from disk act as a ServiceAccount, as one of a source may.
func (c *Config) ActAs(module, account string) {
	c.accounts = map[string]string{module: account}
}
