package catalog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrSignature is of a signature that none of the keys made over these bytes.
var ErrSignature = errors.New("signature does not match")

const (
	maxKeyText = 64 << 10
	maxKeys    = 32
)

// Keys are the public keys of which one must have signed a document. More than one is for
// rotation: the old and the new key, until all who sign use the new one.
//
// A signature is ECDSA over P-256 and the SHA-256 of the document's bytes (FIPS 186-5), in
// ASN.1 DER as it is, without base64: what `openssl dgst -sha256 -sign` writes,
// `openssl dgst -sha256 -verify KEY -signature SIG DOC` reads, and
// `cosign verify-blob --key KEY --signature SIG DOC` reads too.
type Keys struct{ keys []*ecdsa.PublicKey }

// ParseKeys reads public keys: PEM blocks PUBLIC KEY (PKIX, RFC 7468 section 13), one or several in each text.
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	seen := map[string]bool{}
	for i, text := range texts {
		found, err := publicKeys(text)
		if err != nil {
			return Keys{}, fmt.Errorf("key %d of %d: %w", i+1, len(texts), err)
		}
		for _, key := range found {
			if id := keyID(key); !seen[id] {
				seen[id] = true
				k.keys = append(k.keys, key)
			}
		}
	}
	switch {
	case len(k.keys) == 0:
		return Keys{}, errors.New("no public key: give at least one in PEM, as addon-operator channel keygen writes it")
	case len(k.keys) > maxKeys:
		return Keys{}, fmt.Errorf("%d public keys: expected at most %d", len(k.keys), maxKeys)
	}
	return k, nil
}

func publicKeys(text string) ([]*ecdsa.PublicKey, error) {
	blocks, err := pemBlocks(text)
	if err != nil {
		return nil, err
	}
	var out []*ecdsa.PublicKey
	for _, b := range blocks {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			return nil, fmt.Errorf("is a private key (PEM block %s), which only those who sign may have; expected the public one: "+
				"openssl pkey -in KEY -pubout", b.Type)
		}
		if b.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("PEM block %.40q: expected PUBLIC KEY", b.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block PUBLIC KEY: %w", err)
		}
		key, ok := parsed.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("is of another kind (%s): expected ECDSA over P-256", kind(parsed))
		}
		out = append(out, key)
	}
	return out, nil
}

// kind names a key for people.
func kind(key any) string {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		return "ECDSA over " + k.Curve.Params().Name
	}
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		return "ECDSA over " + k.Curve.Params().Name
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", key), "*")
}

// pemBlocks reads a text that is nothing but PEM blocks; it has at least one.
func pemBlocks(text string) ([]*pem.Block, error) {
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("%d bytes: expected at most %d", len(text), maxKeyText)
	}
	var out []*pem.Block
	rest := []byte(text)
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		out = append(out, b)
	}
	if len(out) == 0 || strings.Contains(string(rest), "-----BEGIN") {
		return nil, errors.New("is not PEM: expected text between -----BEGIN … KEY----- and -----END … KEY-----")
	}
	return out, nil
}

// Verify says whether one of the keys made the signature over exactly these bytes; the error is ErrSignature.
func (k Keys) Verify(document, signature []byte) error {
	_, err := k.Signer(document, signature)
	return err
}

// Signer is Verify, and tells by whom: the ID of the key, as IDs has it.
func (k Keys) Signer(document, signature []byte) (string, error) {
	sum := sha256.Sum256(document)
	for _, key := range k.keys {
		if len(signature) <= MaxSignature && ecdsa.VerifyASN1(key, sum[:], signature) {
			return keyID(key), nil
		}
	}
	return "", fmt.Errorf("%w: none of the known keys (%s) signed these %d bytes", ErrSignature, k, len(document))
}

// IDs are the SHA-256 of the keys in PKIX DER, as sha256:<64 hex>:
// openssl pkey -pubin -in KEY -outform DER | sha256sum.
func (k Keys) IDs() []string {
	out := make([]string, 0, len(k.keys))
	for _, key := range k.keys {
		out = append(out, keyID(key))
	}
	return out
}

// String is the beginnings of the IDs, for people.
func (k Keys) String() string {
	short := k.IDs()
	for i, id := range short {
		short[i] = ShortID(id)
	}
	return strings.Join(short, ", ")
}

// ShortID is the beginning of a digest or key ID, enough for people to tell them apart.
func ShortID(id string) string { return id[:min(len(id), len("sha256:")+12)] }

func keyID(key *ecdsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil { // a parsed key can be written again
		return "unknown"
	}
	return Digest(der)
}

// ParsePrivateKey reads the key that signs: a PEM block PRIVATE KEY (PKCS #8) or EC PRIVATE KEY (SEC 1, RFC 5915).
func ParsePrivateKey(text []byte) (*ecdsa.PrivateKey, error) {
	blocks, err := pemBlocks(string(text))
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	for _, b := range blocks {
		if b.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes them before the key
			continue
		}
		key, err := privateKey(b)
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		return key, nil
	}
	return nil, errors.New("private key: expected a PEM block PRIVATE KEY, found EC PARAMETERS only")
}

func privateKey(b *pem.Block) (*ecdsa.PrivateKey, error) {
	var parsed any
	var err error
	switch {
	case b.Type == "PUBLIC KEY":
		return nil, errors.New("is a public key: expected the private one that belongs to it")
	case strings.Contains(b.Type, "ENCRYPTED") || b.Headers["DEK-Info"] != "":
		return nil, fmt.Errorf("is encrypted (PEM block %s): decrypt it for this command, as with openssl pkcs8 -in KEY", b.Type)
	case b.Type == "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case b.Type == "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("PEM block %.40q: expected PRIVATE KEY or EC PRIVATE KEY", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("PEM block %s: %w", b.Type, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("is of another kind (%s): expected ECDSA over P-256, as addon-operator channel keygen makes it", kind(parsed))
	}
	return key, nil
}

// PublicOf are the Keys that verify what key signs.
func PublicOf(key *ecdsa.PrivateKey) Keys { return Keys{[]*ecdsa.PublicKey{&key.PublicKey}} }

// Sign gives the signature over the bytes, see Keys. The same key and bytes give the same
// signature (RFC 6979), so that what is pushed again has the digest it had.
func Sign(document []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	sum := sha256.Sum256(document)
	signature, err := key.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign the channel document: %w", err)
	}
	return signature, nil
}

// EncodePrivateKey and EncodePublicKey write what ParsePrivateKey and ParseKeys read.
func EncodePrivateKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// EncodePublicKey writes the key in PEM, PKIX.
func EncodePublicKey(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
