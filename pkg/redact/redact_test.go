package redact_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/values"
)

const secret = "s3cr3t-pa\"ss/w+rd"

func TestASecretIsFoundHoweverItIsWritten(t *testing.T) {
	pem := "-----BEGIN KEY-----\nMIIEvAIBADANBgkqhkiG9w0\nAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n"
	set := redact.NewSet([]string{secret, pem, "{\"auths\": {\"registry.example.com\": {\"password\": \"deep-password\"}}}"}, nil)
	for sentence, text := range map[string]string{
		"as it is":            "login with " + secret + " failed",
		"quoted by Go":        fmt.Sprintf("got %q", secret),
		"in JSON":             `{"p":"s3cr3t-pa\"ss/w+rd"}`,
		"in a URL":            "https://u:s3cr3t-pa%22ss%2Fw%2Brd@host s3cr3t-pa%22ss%2Fw%2Brd",
		"in base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
		"at the end of lines": secret + "\n" + secret,
		"one line of several": "curl: bad key AgEAAoIBAQC7VJTUt9Us8cKj",
	} {
		got := set.Text(text)
		for _, part := range []string{"s3cr3t-pa", base64.StdEncoding.EncodeToString([]byte(secret)), "AgEAAoIBAQ"} {
			if strings.Contains(got, part) {
				t.Errorf("%s: %q still shows it", sentence, got)
			}
		}
	}
	if got := set.Text("-----BEGIN KEY-----"); got != "-----BEGIN KEY-----" {
		t.Errorf("a line that every key has is masked: %q", got)
	}
}

func TestWhatIsShortOrANameIsNoSecret(t *testing.T) {
	set := redact.NewSet([]string{"no", "nginx-ingress", "true", "longer-secret"}, func(s string) bool { return s == "nginx-ingress" })
	if got := set.Text("module nginx-ingress: no, true, longer-secret"); got != "module nginx-ingress: no, true, *****" {
		t.Errorf("got %q", got)
	}
	if got := (*redact.Set)(nil).Text("text of a process without secrets"); got != "text of a process without secrets" {
		t.Errorf("got %q", got)
	}
}

func TestTheLongestOfSeveralSecretsIsMasked(t *testing.T) {
	set := redact.NewSet([]string{"secret", "secret-two"}, nil)
	if got := set.Text("secret-two secret"); got != "***** *****" {
		t.Errorf("got %q", got)
	}
}

func TestTextsAreTheLeavesOfAValue(t *testing.T) {
	v := values.Map{"a": []any{"first", int64(123456)}, "b": values.Map{"c": "login: {password: hidden-inside-text}"}, "on": true}
	got := strings.Join(redact.Texts(v), " | ")
	for _, want := range []string{"first", "123456", "hidden-inside-text"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %q", want, got)
		}
	}
	if strings.Contains(got, "true |") {
		t.Errorf("%q has what is no text", got)
	}
}

func TestALogHasNoSecretInAnyPart(t *testing.T) {
	set := redact.NewSet([]string{secret, "123456789"}, nil)
	var out bytes.Buffer
	log := slog.New(redact.Handler(slog.NewTextHandler(&out, nil), set.Text)).With("before", secret).WithGroup("g")
	log.Info("message "+secret, "text", secret, "error", fmt.Errorf("cause: %w", errors.New(secret)), "number", 123456789,
		"any", []string{secret}, slog.Group("group", "inner", secret), "harmless", 42)
	if text := out.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "123456789") || !strings.Contains(text, "g.harmless=42") {
		t.Errorf("log: %s", text)
	}
}

const manifest = `---
# Source: mod/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata: {name: a}
data: {password: czNjcjN0}
stringData:
  token: plain
---
# Source: mod/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata:   {name:   a}   # as it was
data: {note: "kind: Secret"}
`

func TestTheDataOfSecretsInAManifestIsMasked(t *testing.T) {
	got := redact.Manifest(manifest)
	if strings.Contains(got, "czNjcjN0") || strings.Contains(got, "plain") {
		t.Errorf("the data shows:\n%s", got)
	}
	for _, want := range []string{"# Source: mod/templates/secret.yaml", "password: '*****'", "metadata:   {name:   a}   # as it was"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(manifest)
	f.Add("---\nkind: List\nitems: [{kind: Secret, data: {a: b}}]\n")
	f.Add("kind: Secret\ndata: [1]\n--- {}\n")
	f.Fuzz(func(t *testing.T, text string) {
		once := redact.Manifest(text)
		if twice := redact.Manifest(once); twice != once {
			t.Errorf("masking again changes it:\n%q\n%q", once, twice)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("some secret text", "prefix some secret text suffix")
	f.Fuzz(func(t *testing.T, secret, text string) {
		secret = strings.TrimSpace(secret)
		got := redact.NewSet([]string{secret}, nil).Text(text + secret + text)
		if len(secret) >= redact.MinLength && !strings.Contains(redact.Masked, secret) && !strings.Contains(text, secret) &&
			strings.Contains(got, secret) && !overlaps(secret) {
			t.Errorf("%q shows %q", got, secret)
		}
	})
}

// overlaps says that the mask can be part of the secret.
func overlaps(secret string) bool { return strings.Contains(secret, "*") }
