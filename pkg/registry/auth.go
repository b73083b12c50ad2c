package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// dockerConfig is the JSON of a Secret of type kubernetes.io/dockerconfigjson
// (https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/).
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"` // base64 of username:password
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credentialsFor finds the entry for a registry and the repositories below root: of all keys that fit, the longest,
// as the kubelet has it. A key is a host, maybe with a scheme, a path, and * in labels of the host.
func credentialsFor(text []byte, host, root string) (auth.Credential, error) {
	if len(text) == 0 {
		return auth.EmptyCredential, nil
	}
	var c dockerConfig
	if err := json.Unmarshal(text, &c); err != nil {
		// The text is secret, and so may be what the JSON error quotes.
		return auth.EmptyCredential, fmt.Errorf("credentials for %s: expected the JSON of a kubernetes.io/dockerconfigjson Secret", host)
	}
	best := ""
	for key := range c.Auths {
		if fits(key, host, root) && (len(key) > len(best) || len(key) == len(best) && key < best) {
			best = key
		}
	}
	if best == "" {
		return auth.EmptyCredential, nil
	}
	return c.Auths[best].credential(host)
}

// fits says whether a key of the configuration is about the registry.
func fits(key, host, root string) bool {
	for _, scheme := range []string{"https://", "http://"} {
		key = strings.TrimPrefix(key, scheme)
	}
	keyHost, keyPath, _ := strings.Cut(strings.TrimRight(key, "/"), "/")
	if keyPath == "v1" || keyPath == "v2" { // as `docker login` writes them
		keyPath = ""
	}
	if keyHost == "index.docker.io" {
		keyHost = "docker.io"
	}
	under := keyPath == "" || root == keyPath || strings.HasPrefix(root, keyPath+"/")
	want, have := strings.Split(keyHost, "."), strings.Split(host, ".")
	if !under || len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func (a dockerAuth) credential(host string) (auth.Credential, error) {
	if a.Auth != "" {
		text, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return auth.EmptyCredential, fmt.Errorf("credentials for %s: auth: expected base64 of NAME:PASSWORD", host)
		}
		a.Username, a.Password = user, strings.TrimRight(password, "\x00")
	}
	return auth.Credential{Username: a.Username, Password: a.Password, RefreshToken: a.IdentityToken, AccessToken: a.RegistryToken}, nil
}
