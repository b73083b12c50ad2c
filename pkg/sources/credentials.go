package sources

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// Credentials are what the Secrets and ConfigMaps that a source names hold.
type Credentials struct {
	// Auth is a dockerconfigjson, CA are PEM certificates; nil where the source names none.
	Auth, CA []byte
	// Problem is why something that the source names cannot be used; it repeats nothing of a Secret.
	Problem string
}

// object is one of the operator's namespace that a source names.
type object struct{ kind, name string }

// authOf and caOf are the objects that a source names, zero for none; key is of the data.
func authOf(s source.Source) (at object, key string) {
	if s.Auth == "" {
		return object{}, ""
	}
	return object{"Secret", s.Auth}, corev1.DockerConfigJsonKey
}

func caOf(s source.Source) (at object, key string) {
	parts := strings.SplitN(s.CA, "/", 3)
	if len(parts) != 3 {
		return object{}, ""
	}
	return object{parts[0], parts[1]}, parts[2]
}

// named are the objects that sources name.
func named(all []source.Source) map[object]bool {
	out := map[object]bool{}
	for _, s := range all {
		auth, _ := authOf(s)
		ca, _ := caOf(s)
		out[auth], out[ca] = true, true
	}
	delete(out, object{})
	return out
}

// data is what an object holds, or why it cannot be read.
type data struct {
	bytes   map[string][]byte
	problem string
}

// get reads an object. The error is that of an API server that does not answer.
func (s *Sources) get(ctx context.Context, at object) (data, error) {
	out := data{bytes: map[string][]byte{}}
	var err error
	if at.kind == "Secret" {
		var secret *corev1.Secret
		if secret, err = s.cfg.Client.CoreV1().Secrets(s.cfg.Namespace).Get(ctx, at.name, metav1.GetOptions{}); err == nil {
			out.bytes = secret.Data
		}
	} else {
		var cm *corev1.ConfigMap
		if cm, err = s.cfg.Client.CoreV1().ConfigMaps(s.cfg.Namespace).Get(ctx, at.name, metav1.GetOptions{}); err == nil {
			for key, text := range cm.Data {
				out.bytes[key] = []byte(text)
			}
		}
	}
	what := fmt.Sprintf("%s %s/%s", at.kind, s.cfg.Namespace, at.name)
	switch {
	case apierrors.IsNotFound(err):
		return data{problem: what + " does not exist; create it, or take it out of the ModuleSource"}, nil
	case apierrors.IsForbidden(err):
		return data{problem: fmt.Sprintf("%s cannot be read: %v; let the operator read it", what, err)}, nil
	case err != nil:
		return data{}, fmt.Errorf("%s cannot be read: %w", what, err)
	}
	return out, nil
}

// credentials takes what a source names out of what was read.
func credentials(s source.Source, read map[object]data) Credentials {
	var c Credentials
	var problems []string
	take := func(at object, key string, check func([]byte) error) []byte {
		if at == (object{}) {
			return nil
		}
		d := read[at]
		text, ok := d.bytes[key]
		problem := d.problem
		if problem == "" && !ok {
			problem = fmt.Sprintf("%s %s has no key %s", at.kind, at.name, key)
		}
		if problem == "" {
			if err := check(text); err != nil {
				problem = fmt.Sprintf("key %s of %s %s: %v", key, at.kind, at.name, err)
			}
		}
		if problem != "" {
			problems = append(problems, problem)
			return nil
		}
		return text
	}
	auth, authKey := authOf(s)
	ca, caKey := caOf(s)
	c.Auth = take(auth, authKey, checkDockerConfig)
	c.CA = take(ca, caKey, checkAuthorities)
	c.Problem = strings.Join(problems, "; ")
	return c
}

// checkDockerConfig: https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets
func checkDockerConfig(text []byte) error {
	var c struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Auths == nil { // what err quotes may be secret
		return errors.New(`expected {"auths": {"HOST": {…}}}, as kubectl create secret docker-registry writes it`)
	}
	return nil
}

func checkAuthorities(text []byte) error {
	rest := text
	for n := 0; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 || len(bytes.TrimSpace(rest)) > 0 {
				return errors.New("expected PEM blocks CERTIFICATE and nothing else")
			}
			return nil
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			return errors.New("expected PEM blocks CERTIFICATE that hold certificates")
		}
	}
}
