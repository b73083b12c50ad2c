package operator_test

import (
	"errors"
	"os/exec"
	"strings"
)

// command is a run of the operator's binary as a person does it.
type command struct {
	args   string
	code   int
	stdout string // a part of it
	stderr string
}

// conformCommands runs commands that ask a running operator.
func conformCommands(b *bed) {
	b.t.Helper()
	// C-291: names as on disk in commands, camelCase in what they print.
	// C-470, C-471, C-472, C-474, B-62: what there is, and how it ends.
	binary := operatorBinary(b.t)
	for _, c := range []command{
		{"version", 0, "addon-operator", ""},
		{"queue list", 0, "Summary", ""},
		{"queue list -e -o json", 0, `"summary"`, ""},
		{"queue main", 0, "Queue 'main'", ""},
		{"config list", 0, "log.level", ""},
		{"config set log.level debug 1m", 0, "", ""},
		{"config set no.such thing", 1, "", "no.such"},
		{"raw /discovery", 0, "/module/", ""},
		{"raw /nothing", 1, "", "not found"},
		{"global values", 0, "fact: seen", ""},
		{"module list -o json", 0, `"debug-a"`, ""},
		{"module values debug-a", 0, "debugA:", ""},
		{"module values -g debug-a", 0, "global:", ""},
		{"module values debugA", 1, "", `module "debugA" is in no modules directory`},
		{"module snapshots debug-a", 0, "", ""},
		{"module resource-monitor", 0, "debug-a", ""},
		{"module explain debug-a", 0, "debug-a", ""},
		{"module diff debug-a", 0, "", ""},
		{"hook list", 1, "", "this operator runs modules"},
		{"graph", 0, "digraph", ""},
		{"debug-options", 0, "--debug-unix-socket", ""},
	} {
		b.command(binary, c)
	}
}

func (b *bed) command(binary string, c command) {
	b.t.Helper()
	cmd := exec.CommandContext(b.ctx, binary, append(strings.Fields(c.args), "--debug-unix-socket", b.Config.DebugSocket)...)
	if strings.HasPrefix(c.args, "version") || strings.HasPrefix(c.args, "debug-options") {
		cmd = exec.CommandContext(b.ctx, binary, strings.Fields(c.args)...)
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	code := 0
	if ended := (&exec.ExitError{}); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		b.t.Fatal(err)
	}
	if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
		b.t.Errorf("%s: ended with %d\nstdout: %s\nstderr: %s", c.args, code, stdout.String(), stderr.String())
	}
}
