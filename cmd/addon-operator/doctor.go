package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/deploy"
	"github.com/addon-operator/addon-operator/pkg/doctor"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

// doctorCommand lists everything that is wrong.
func doctorCommand() *cobra.Command {
	cfg := operator.Defaults()
	cfg.Namespace, cfg.ModulesDir = "addon-operator", ""
	look := func(ctx context.Context, cfg operator.Config) ([]doctor.Finding, error) {
		return operator.Doctor(ctx, cfg, deploy.RBAC)
	}
	return findings[doctor.Finding]{look, doctor.Print, doctor.Bad, "something is wrong, see above"}.command(&cobra.Command{
		Use:   "doctor",
		Short: "List everything that is wrong with an operator and its modules, and the way out",
		Long: `Looks at the cluster, and says of everything that is wrong with an operator and its modules what was seen, what should
be, and what to do. It changes nothing and needs no operator that runs. With --modules-dir it also looks for what the schemas
of modules say is secret.

Exit code: 0 nothing has to be done, 1 something is wrong, 2 the cluster could not be looked at.`,
	}, cfg, func(b *binder, cfg *operator.Config) {
		b.text(&cfg.DebugSocket, "debug-unix-socket", "socket of the operator, asked if it is there", "DEBUG_UNIX_SOCKET")
	})
}
