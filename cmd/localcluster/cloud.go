package main

const (
	standardClass       = "standard"
	standardProvisioner = "localcluster.addon-operator.io/imitated"
)
