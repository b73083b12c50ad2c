package converge

import (
	"cmp"
	"runtime"
	"time"
)

// setDefaults fills what a Config leaves open.
func setDefaults(c *Config) {
	c.OrderPatience = cmp.Or(c.OrderPatience, 15*time.Second)
	c.ParallelRender = cmp.Or(c.ParallelRender, runtime.GOMAXPROCS(0))
	c.ParallelApply = cmp.Or(c.ParallelApply, 16)
	c.StalledAfter = cmp.Or(c.StalledAfter, 10*time.Minute)
	c.PurgeGrace = cmp.Or(c.PurgeGrace, 5*time.Minute)
	c.ShutdownGrace = cmp.Or(c.ShutdownGrace, 20*time.Second)
}
