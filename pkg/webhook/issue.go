package webhook

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// An authority lives three times as long as what it signs, and is replaced when a
	// third of its life is left: until it ends, everything signed by it has ended.
	authorityLife = 365 * 24 * time.Hour
	servingLife   = 90 * 24 * time.Hour
	// settle is how long a new authority is only announced in the configurations
	// before a certificate of it is served.
	settle = time.Hour
	// skew allows for clocks of others that are behind.
	skew = time.Hour
)

// issued is a certificate that the operator made for itself, in PEM.
type issued struct {
	// CA lists the authorities that are trusted, the newest first; CAKey is the key of that one.
	CA, CAKey []byte
	Cert, Key []byte
}

// renew makes what is missing, ends soon or does not cover names (DNS names and IP
// addresses). Old authorities stay in the bundle until they end. What is fine is
// returned as it is.
func renew(old issued, names []string, now time.Time) (issued, error) {
	authorities := parseCertificates(old.CA)
	authorities = alive(authorities, now)
	key, err := parseKey(old.CAKey)
	if len(authorities) == 0 || err != nil || !matches(authorities[0], key) || due(authorities[0], authorityLife, now) {
		var made *x509.Certificate
		if made, key, err = newAuthority(now); err != nil {
			return issued{}, err
		}
		authorities = append([]*x509.Certificate{made}, authorities...)
	}
	next := old
	if next.CA = encodeCertificates(authorities); !bytes.Equal(next.CA, old.CA) {
		if next.CAKey, err = encodeKey(key); err != nil {
			return issued{}, err
		}
	}
	if !servingDue(old, authorities, names, now) {
		return next, nil
	}
	next.Cert, next.Key, err = newServing(authorities[0], key, names, now)
	return next, err
}

// servingDue reports whether a new serving certificate is to be made now.
func servingDue(old issued, authorities []*x509.Certificate, names []string, now time.Time) bool {
	pair, err := tls.X509KeyPair(old.Cert, old.Key)
	if err != nil || !covers(pair.Leaf, names) || !trusted(pair.Leaf, authorities, now) {
		return true
	}
	// The newest authority may not have reached the API server yet.
	young := now.Sub(authorities[0].NotBefore) < skew+settle
	return due(pair.Leaf, servingLife, now) && (!young || pair.Leaf.NotAfter.Before(now.Add(settle)))
}

// due reports whether less than a third of a life is left.
func due(c *x509.Certificate, life time.Duration, now time.Time) bool {
	return c.NotAfter.Sub(now) < life/3
}

func alive(certificates []*x509.Certificate, now time.Time) (out []*x509.Certificate) {
	for _, c := range certificates {
		if now.Before(c.NotAfter) {
			out = append(out, c)
		}
	}
	return out
}

func covers(leaf *x509.Certificate, names []string) bool {
	for _, name := range names {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

func trusted(leaf *x509.Certificate, authorities []*x509.Certificate, now time.Time) bool {
	pool := x509.NewCertPool()
	for _, c := range authorities {
		pool.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

func matches(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && public.Equal(key.Public())
}

func newAuthority(now time.Time) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	// Names of authorities differ, so that a verifier need not try each of them.
	template, err := newTemplate("addon-operator webhooks CA "+now.UTC().Format(time.RFC3339), now, now.Add(authorityLife))
	if err != nil {
		return nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(raw)
	return c, key, err
}

func newServing(by *x509.Certificate, byKey crypto.Signer, names []string, now time.Time) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	end := now.Add(servingLife)
	if by.NotAfter.Before(end) {
		end = by.NotAfter
	}
	template, err := newTemplate("addon-operator webhooks", now, end)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, by, own.Public(), byKey)
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(own)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), key, err
}

func newTemplate(name string, now, end time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-skew), NotAfter: end,
	}, nil
}

// parseCertificates reads the certificates of a PEM text up to the first that is none.
func parseCertificates(text []byte) (out []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return out
		}
		out = append(out, c)
	}
}

func encodeCertificates(certificates []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T does not sign", key)
	}
	return signer, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), nil
}
