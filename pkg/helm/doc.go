// Package helm is the only place that knows Helm (https://helm.sh, v3): it loads
// a module's chart, renders it, applies the text, repairs it and takes it away.
//
// Chart loading, the template engine, values, dependencies and the release
// record are Helm's own, so that `helm list`, `history`, `get`, `rollback` and
// `uninstall` work on what is made here. Applying is written here instead of
// going through Helm's action package, because that one
//
//   - renders again what was rendered to compare digests,
//   - goes on in the background when its context ends,
//   - asks the API server two or three times about each object, one after another,
//   - reads every stored revision with its payload several times per action,
//   - merges custom resources two-way, so that drift in them stays.
//
// The way of a release, every arrow is one write of its Secret:
//
//	none > pending-install > deployed > superseded
//	            |    ^           |
//	            v    |           v
//	          failed <---- pending-upgrade > deployed
//
// A record that stayed pending when its process died is marked failed by
// Recover; the next Install or Upgrade goes on from the newest revision, with
// the newest deployed one as the base of its three-way merges. Nothing here
// waits for readiness; chart hooks are waited for as Helm does (C-441).
package helm
