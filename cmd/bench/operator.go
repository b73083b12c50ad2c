package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// operator is a running operator process.
type operator struct {
	started time.Time // just before exec
	url     string
	log     string
	pid     int
	stopIt  func()
	died    chan error    // gets one error when it ends unasked
	gone    chan struct{} // closed when the process has ended
}

// where an operator finds its input and puts its files.
type place struct {
	binary, kubeconfig string
	dir                string // holds modules and global-hooks
	namespace          string
}

// settingsName is the ConfigMap of the operator.
const settingsName = "addon-operator"

func startOperator(p place) (*operator, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	files, err := os.MkdirTemp(p.dir, "start-")
	if err != nil {
		return nil, err
	}
	o := &operator{
		url: "http://127.0.0.1:" + port, log: filepath.Join(files, "log"),
		died: make(chan error, 1), gone: make(chan struct{}),
	}
	log, err := os.Create(o.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.binary, "start",
		"--modules-dir", filepath.Join(p.dir, "modules"), "--global-hooks-dir", filepath.Join(p.dir, "global-hooks"),
		"--namespace", p.namespace, "--config-map", settingsName, "--kube-config", p.kubeconfig,
		"--tmp-dir", filepath.Join(files, "tmp"), "--cache-dir", filepath.Join(files, "cache"), "--debug-unix-socket", filepath.Join(files, "socket"),
		"--prometheus-listen-address", "127.0.0.1", "--prometheus-listen-port", port, "--log-type", "json")
	cmd.Dir, cmd.Stdout, cmd.Stderr = files, log, log
	return o, o.start(cmd)
}

// start runs the process from a thread of its own that lives as long as the
// process, because the parent-death signal follows the thread.
func (o *operator) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	began := make(chan error)
	asked := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(o.gone)
		o.started = time.Now()
		err := cmd.Start()
		began <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		select {
		case <-asked:
		default:
			o.died <- fmt.Errorf("the operator ended by itself (%v); its log: %s\n%s", err, o.log, o.tail()) //nolint:errorlint // nil after exit 0
		}
	}()
	if err := <-began; err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	o.pid = cmd.Process.Pid
	o.stopIt = func() {
		close(asked)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-o.gone:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-o.gone
		}
	}
	return nil
}

// stop ends the process and returns when it has ended; it may be called again.
func (o *operator) stop() {
	if o.stopIt != nil {
		o.stopIt()
		o.stopIt = nil
	}
}

// tail is the end of the log.
func (o *operator) tail() string {
	text, err := os.ReadFile(o.log)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// logged is the time of the last line of the log with this message.
func (o *operator) logged(message string) (time.Time, error) {
	f, err := os.Open(o.log)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	var last time.Time
	for dec := json.NewDecoder(f); ; {
		var line struct {
			Time    time.Time `json:"time"`
			Message string    `json:"msg"`
		}
		err := dec.Decode(&line)
		switch {
		case err == nil && line.Message == message:
			last = line.Time
		case err == nil:
		case last.IsZero():
			return last, fmt.Errorf("%s: no line %q: %w", o.log, message, err)
		default:
			return last, nil
		}
	}
}

// pollEvery is the precision of a restart; asking more often would take CPU time
// from what is measured.
const pollEvery = 10 * time.Millisecond

// ready answers when /readyz first said 200.
func (o *operator) ready(ctx context.Context) (time.Time, error) {
	return o.readyWithin(ctx, pollEvery)
}

// readyWithin asks so often: each question takes CPU time of the operator.
func (o *operator) readyWithin(ctx context.Context, every time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if o.get(ctx, "/readyz", io.Discard) == nil {
			return time.Now(), nil
		}
		select {
		case <-tick.C:
		case err := <-o.died:
			return time.Time{}, err
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for /readyz: %w; its log: %s\n%s", ctx.Err(), o.log, o.tail())
		}
	}
}

func (o *operator) get(ctx context.Context, path string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(to, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return nil
}

// quiet returns when the process takes next to no CPU time any more.
func (o *operator) quiet(ctx context.Context) error {
	const step, calm = 250 * time.Millisecond, 4
	last, still := int64(-1), 0
	deadline := time.Now().Add(patience)
	for still < calm {
		ticks, _, err := o.cpu()
		if err != nil {
			return err
		}
		if still++; ticks > last+1 {
			still = 0
		}
		last = ticks
		if time.Now().After(deadline) {
			return fmt.Errorf("the operator does not come to rest within %s; its log: %s", patience, o.log)
		}
		if err := o.pause(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// pause lets time pass, unless the operator dies.
func (o *operator) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-o.died:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cpu is the CPU time of the process itself and of the hooks that have ended, in
// ticks of 10 ms (proc_pid_stat(5)).
func (o *operator) cpu() (self, hooks int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.pid))
	if err != nil {
		return 0, 0, err
	}
	// The command in parentheses may contain spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, cstime = 11, 14
	if len(fields) <= cstime {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q", o.pid, text)
	}
	var ticks [4]int64 // utime, stime, cutime, cstime
	for i, f := range fields[utime : cstime+1] {
		if ticks[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return ticks[0] + ticks[1], ticks[2] + ticks[3], nil
}

// memory reads VmHWM or VmRSS in MB of 10^6 bytes (proc_pid_status(5)).
func (o *operator) memory(field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", o.pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		name, text, _ := strings.Cut(s.Text(), ":")
		if name != field {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
		return kib * 1024 / 1e6, err
	}
	return 0, errors.Join(fmt.Errorf("/proc/%d/status has no %s", o.pid, field), s.Err())
}

// profile writes a CPU profile over the time, from when the operator listens on,
// or another profile of net/http/pprof.
func (o *operator) profile(ctx context.Context, file, query string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		err := o.get(ctx, "/debug/pprof/"+query, f)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		if err := o.pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
