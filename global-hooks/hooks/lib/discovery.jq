# Definitions for the programs of the discovery hooks. They keep to what jq 1.6 knows.

# Binding contexts of a run -> {binding: [filter result, …]}. All contexts of a run see the same snapshots, so the last
# context that has any speaks for all. Items without a filter result (a filter that gave null) are left out.
def results:
  [.[] | .snapshots? | select(type == "object")]
  | last // error("no binding context has snapshots: give every kubernetes binding of the hook the same `group`")
  | map_values(map(.filterResult? | select(. != null)));

# The operation that states a fact. The whole object is written each time: the operator compares values, not writes.
def patch($key; value): {op: "add", path: "/global/discovery/\($key)", value: value};

# The first of the given strings that is not empty, else "".
def known(strings): first((strings | select(type == "string" and . != "")), "");

# The text that a regular expression with one group finds, else "".
def found($re): [capture($re) | .[]] | .[0] // "";

# The value seen most often, else "". Of several the alphabetically first: the order of objects decides nothing.
def commonest: [group_by(.)[] | {value: .[0], count: length}] | sort_by(-.count, .value) | .[0].value // "";

# One message in the operator's log.
def log($level; $message): ({level: $level, msg: $message} | stderr | empty), .;
