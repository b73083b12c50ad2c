package catalog

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicPEM(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	out, err := EncodePublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func sign(t testing.TB, document []byte, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	out, err := Sign(document, key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestASignatureHoldsForItsBytesAndItsKeyOnly(t *testing.T) {
	one, two, three := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	doc := encode(t, sample())
	signature := sign(t, doc, two)
	rotation, err := ParseKeys([]string{publicPEM(t, one), publicPEM(t, two)})
	if err != nil {
		t.Fatal(err)
	}
	id, err := rotation.Signer(doc, signature)
	if err != nil || id != PublicOf(two).IDs()[0] {
		t.Errorf("signed by %s: %v", id, err)
	}
	if !slices.Equal(signature, sign(t, doc, two)) {
		t.Error("the same key and document give another signature")
	}
	altered := slices.Clone(doc)
	altered[len(altered)-2] ^= 1
	flipped := slices.Clone(signature)
	flipped[len(flipped)-1] ^= 1
	for name, test := range map[string]struct {
		keys      Keys
		document  []byte
		signature []byte
	}{
		"the key of a stranger":       {PublicOf(three), doc, signature},
		"an altered document":         {rotation, altered, signature},
		"a document that goes on":     {rotation, append(slices.Clone(doc), ' '), signature},
		"an altered signature":        {rotation, doc, flipped},
		"no signature":                {rotation, doc, nil},
		"a signature that goes on":    {rotation, doc, append(slices.Clone(signature), 0)},
		"a signature in base64":       {rotation, doc, []byte(base64.StdEncoding.EncodeToString(signature))},
		"a signature without end":     {rotation, doc, make([]byte, 1<<20)},
		"no keys":                     {Keys{}, doc, signature},
		"a signature of another text": {rotation, doc, sign(t, []byte("x"), two)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.keys.Verify(test.document, test.signature); !errors.Is(err, ErrSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParseKeysTakesSeveralInOneText(t *testing.T) {
	a, b := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	keys, err := ParseKeys([]string{"# the new one\n" + publicPEM(t, a) + "\n" + publicPEM(t, b), publicPEM(t, a)})
	if err != nil {
		t.Fatal(err)
	}
	if ids := keys.IDs(); len(ids) != 2 || ids[0] != PublicOf(a).IDs()[0] || ids[1] != PublicOf(b).IDs()[0] {
		t.Error(ids)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	key := newKey(t, elliptic.P256())
	private, err := EncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edDER, err := x509.MarshalPKIXPublicKey(edPublic)
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for range maxKeys + 1 {
		many = append(many, publicPEM(t, newKey(t, elliptic.P256())))
	}
	for name, test := range map[string]struct {
		texts []string
		want  string
	}{
		"no key":                    {nil, "no public key"},
		"an empty text":             {[]string{publicPEM(t, key), ""}, "key 2 of 2: is not PEM"},
		"a private key":             {[]string{string(private)}, "private key"},
		"half a key":                {[]string{publicPEM(t, key)[:80]}, "is not PEM"},
		"a whole and half a key":    {[]string{publicPEM(t, key) + publicPEM(t, key)[:80]}, "is not PEM"},
		"bytes that are no key":     {[]string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))}, "PEM block PUBLIC KEY"},
		"a certificate":             {[]string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))}, `"CERTIFICATE": expected PUBLIC KEY`},
		"a key of another curve":    {[]string{publicPEM(t, newKey(t, elliptic.P384()))}, "ECDSA over P-384"},
		"a key of another scheme":   {[]string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: edDER}))}, "ed25519.PublicKey"},
		"a text without end":        {[]string{strings.Repeat("x", maxKeyText+1)}, "expected at most"},
		"more keys than make sense": {many, "33 public keys"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseKeys(test.texts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
		})
	}
}

func TestParsePrivateKey(t *testing.T) {
	key := newKey(t, elliptic.P256())
	pkcs8, err := EncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	p384, err := EncodePrivateKey(newKey(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"PKCS #8":                      {string(pkcs8), ""},
		"SEC 1":                        {block("EC PRIVATE KEY", der), ""},
		"SEC 1 after its parameters":   {block("EC PARAMETERS", []byte{6, 1}) + block("EC PRIVATE KEY", der), ""},
		"parameters only":              {block("EC PARAMETERS", []byte{6, 1}), "EC PARAMETERS only"},
		"the public key":               {publicPEM(t, key), "is a public key"},
		"an encrypted key":             {block("ENCRYPTED PRIVATE KEY", der), "is encrypted"},
		"a key encrypted by cosign":    {block("ENCRYPTED SIGSTORE PRIVATE KEY", der), "is encrypted"},
		"a key of another curve":       {string(p384), "ECDSA over P-384"},
		"a key of another scheme":      {block("RSA PRIVATE KEY", der), `"RSA PRIVATE KEY"`},
		"bytes that are no key":        {block("PRIVATE KEY", []byte("x")), "PEM block PRIVATE KEY"},
		"a text that is no PEM at all": {"secret", "is not PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePrivateKey([]byte(test.text))
			switch {
			case test.want == "" && (err != nil || !got.Equal(key)):
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("expected %q, got %v", test.want, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error shows the key")
			}
		})
	}
}

// TestOpensslAgrees: what we sign, openssl verifies, and the other way round, with keys of both.
func TestOpensslAgrees(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("openssl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	doc := encode(t, sample())
	docFile := file("doc.json", doc)

	ours := newKey(t, elliptic.P256())
	public := file("ours.pub", []byte(publicPEM(t, ours)))
	if out := run("dgst", "-sha256", "-verify", public, "-signature", file("ours.sig", sign(t, doc, ours)), docFile); !strings.Contains(out, "Verified OK") {
		t.Error(out)
	}

	theirs, theirPublic, sig := filepath.Join(dir, "theirs.pem"), filepath.Join(dir, "theirs.pub"), filepath.Join(dir, "theirs.sig")
	run("ecparam", "-name", "prime256v1", "-genkey", "-out", theirs)
	run("ec", "-in", theirs, "-pubout", "-out", theirPublic)
	run("dgst", "-sha256", "-sign", theirs, "-out", sig, docFile)
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	keys, err := ParseKeys([]string{string(read(theirPublic))})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Verify(doc, read(sig)); err != nil {
		t.Error(err)
	}
	private, err := ParsePrivateKey(read(theirs))
	if err != nil {
		t.Fatal(err)
	}
	if PublicOf(private).IDs()[0] != keys.IDs()[0] {
		t.Error("the private key is of another public one")
	}
}

// TestCosignAgrees: cosign verify-blob takes key, signature and document as they are.
func TestCosignAgrees(t *testing.T) {
	if _, err := exec.LookPath("cosign"); err != nil {
		t.Skip("cosign is not installed")
	}
	dir, key, doc := t.TempDir(), newKey(t, elliptic.P256()), encode(t, sample())
	for name, data := range map[string][]byte{"doc": doc, "sig": sign(t, doc, key), "pub": []byte(publicPEM(t, key))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cosign", "verify-blob", "--insecure-ignore-tlog=true", "--key", "pub", "--signature", "sig", "doc")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func FuzzParseKeys(f *testing.F) {
	key := newKey(f, elliptic.P256())
	f.Add(publicPEM(f, key))
	f.Add(publicPEM(f, key) + publicPEM(f, newKey(f, elliptic.P384())))
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys([]string{text})
		if err != nil {
			return
		}
		if len(keys.IDs()) == 0 {
			t.Error("no error and no key")
		}
	})
}

func FuzzVerify(f *testing.F) {
	key := newKey(f, elliptic.P256())
	doc := encode(f, sample())
	good := sign(f, doc, key)
	f.Add(doc, good)
	f.Add(doc, good[:10])
	f.Add([]byte{}, []byte{0x30, 0})
	keys := PublicOf(key)
	f.Fuzz(func(t *testing.T, document, signature []byte) {
		if keys.Verify(document, signature) == nil && string(document) != string(doc) {
			t.Errorf("a signature nobody made: %x over %q", signature, document)
		}
	})
}
