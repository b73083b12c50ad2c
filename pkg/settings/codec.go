package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// FactsVersion is the format of encoded facts. Facts of another version are not
// read: hooks find them out again.
const FactsVersion = "1"

const (
	factsVersionKey = "version"
	factsStateKey   = "state"
	factsSets       = "sets."  // + owner, in the ConfigMap
	factsSecrets    = "facts." // + owner, in the Secret
)

// factsState is everything but the patch sets.
type factsState struct {
	Flags      map[string]Flag `json:"flags,omitempty"`
	Decisions  map[string]bool `json:"decisions,omitempty"`
	Removing   []string        `json:"removing,omitempty"`
	ConfigSeen bool            `json:"configSeen,omitempty"`
	Seq        int64           `json:"seq,omitempty"`
}

// secretOp is an operation kept in the Secret and its place among all of the hook.
type secretOp struct {
	At int            `json:"at"`
	Op values.Stamped `json:"op"`
}

// Encode writes facts as data of a ConfigMap and of a Secret: operations for
// which secret answers true go to the Secret only. The same facts give the same bytes.
func (f Facts) Encode(secret func(owner, hook string, op values.Stamped) bool) (public map[string]string, private map[string][]byte, err error) {
	public, private = map[string]string{factsVersionKey: FactsVersion}, map[string][]byte{}
	state, err := json.Marshal(factsState{Flags: f.Flags, Decisions: f.Decisions, Removing: f.Removing, ConfigSeen: f.ConfigSeen, Seq: f.Seq})
	if err != nil {
		return nil, nil, fmt.Errorf("facts: %w", err)
	}
	public[factsStateKey] = string(state)
	for _, owner := range slices.Sorted(maps.Keys(f.Sets)) {
		open, shut := splitSets(f.Sets[owner], func(hook string, op values.Stamped) bool { return secret(owner, hook, op) })
		text, err := json.Marshal(open)
		if err != nil {
			return nil, nil, fmt.Errorf("facts of %s: %w", owner, err)
		}
		public[factsSets+owner] = string(text)
		if len(shut) == 0 {
			continue
		}
		if private[factsSecrets+owner], err = json.Marshal(shut); err != nil {
			return nil, nil, fmt.Errorf("secret facts of %s: %w", owner, err)
		}
	}
	if err := encodeChannels(f.Channels, public, private); err != nil {
		return nil, nil, err
	}
	return public, private, nil
}

func splitSets(sets map[string]FactSet, secret func(hook string, op values.Stamped) bool) (map[string]FactSet, map[string][]secretOp) {
	open, shut := map[string]FactSet{}, map[string][]secretOp{}
	for hook, set := range sets {
		out := FactSet{HookDigest: set.HookDigest, Ops: []values.Stamped{}}
		for i, op := range set.Ops {
			if secret(hook, op) {
				shut[hook] = append(shut[hook], secretOp{At: i, Op: op})
			} else {
				out.Ops = append(out.Ops, op)
			}
		}
		open[hook] = out
	}
	return open, shut
}

// DecodeFacts reads what Encode wrote; keys that are not its own are passed over.
// What cannot be read is left out and reported by key: hooks find it out again.
func DecodeFacts(public map[string]string, private map[string][]byte) (Facts, []Problem) {
	f := Facts{Sets: map[string]map[string]FactSet{}, Flags: map[string]Flag{}, Decisions: map[string]bool{}}
	version, ok := public[factsVersionKey]
	if !ok && len(public) == 0 {
		return f, nil
	}
	var problems []Problem
	f.Channels, problems = decodeChannels(public, private)
	if version != FactsVersion {
		return f, append(problems, Problem{Key: factsVersionKey, Message: fmt.Sprintf(
			"expected facts of version %s, got %q; they are dropped and found out again", FactsVersion, version)})
	}
	report := func(key string, err error) {
		problems = append(problems, Problem{Key: key, Message: fmt.Sprintf("%v; it is dropped and found out again", err)})
	}
	var state factsState
	if err := json.Unmarshal([]byte(public[factsStateKey]), &state); err != nil {
		report(factsStateKey, err)
	} else {
		maps.Copy(f.Flags, state.Flags)
		maps.Copy(f.Decisions, state.Decisions)
		f.Seq, f.ConfigSeen, f.Removing = state.Seq, state.ConfigSeen, state.Removing
	}
	for _, key := range slices.Sorted(maps.Keys(public)) {
		owner, ok := strings.CutPrefix(key, factsSets)
		if !ok {
			continue
		}
		sets, err := decodeSets(public[key])
		if err != nil {
			report(key, err)
			continue
		}
		f.Sets[owner] = sets
		if err := addSecrets(sets, private[factsSecrets+owner]); err != nil {
			report(factsSecrets+owner, err)
		}
	}
	f.Seq = max(f.Seq, newest(f.Sets))
	return f, problems
}

func decodeSets(text string) (map[string]FactSet, error) {
	sets := map[string]FactSet{}
	if err := json.Unmarshal([]byte(text), &sets); err != nil {
		return nil, err
	}
	for hook, set := range sets {
		for _, op := range set.Ops {
			if err := checkOp(op); err != nil {
				return nil, fmt.Errorf("hook %s: %w", hook, err)
			}
		}
	}
	if sets == nil { // the text was null
		sets = map[string]FactSet{}
	}
	return sets, nil
}

func checkOp(op values.Stamped) error {
	if op.Op.Op != "add" && op.Op.Op != "remove" || !strings.HasPrefix(op.Path, "/") {
		return fmt.Errorf("expected an add or remove at a JSON pointer, got %q at %q", op.Op.Op, op.Path)
	}
	return nil
}

// addSecrets puts secret operations back to their places.
func addSecrets(sets map[string]FactSet, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	var secrets map[string][]secretOp
	if err := json.Unmarshal(text, &secrets); err != nil {
		// The text may be secret, and so may be what the error quotes.
		return fmt.Errorf("expected JSON of secret operations (%T)", err)
	}
	for hook, ops := range secrets {
		set, ok := sets[hook]
		if !ok {
			continue
		}
		for _, s := range ops {
			if err := checkOp(s.Op); err != nil {
				return fmt.Errorf("hook %s: expected adds and removes at JSON pointers", hook)
			}
			set.Ops = slices.Insert(set.Ops, max(0, min(s.At, len(set.Ops))), s.Op)
		}
		sets[hook] = set
	}
	return nil
}

// newest keeps the next commit above all that are kept, should the state be lost.
func newest(sets map[string]map[string]FactSet) int64 {
	var out int64
	for _, hooks := range sets {
		for _, set := range hooks {
			for _, op := range set.Ops {
				out = max(out, op.Seq)
			}
		}
	}
	return out
}
