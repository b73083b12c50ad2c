// Package hooklint looks at files of hooks as their author would want to be told
// about them: what each is taken for, what its --config declares, every error of
// it with the line and the way out, and habits that are accepted and regretted.
//
//	Lint > exec.Find       which files are hooks, and why the others are not (C-001 … C-010)
//	     > file.go         what the text of a script gives away
//	     > --config        asked as the operator asks (C-020)
//	     > config.go       violations > line of the output > line of the file
//	     > rules.go        habits; each has a name and can be silenced
//
// A comment "# hook-lint: ignore=RULE[,RULE]" in a file silences rules there.
// Errors cannot be silenced: the operator would refuse the hook.
package hooklint
