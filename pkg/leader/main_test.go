package leader

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	err := goleak.Find(
		goleak.IgnoreAnyFunction("github.com/addon-operator/addon-operator/pkg/testkit.Start.func1"), // keeps a thread
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/internal/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*ClientConn).readLoop"),
	)
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
