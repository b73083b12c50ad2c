package webhook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

var issueStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func must(t *testing.T, old issued, names []string, now time.Time) issued {
	t.Helper()
	next, err := renew(old, names, now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(next.Cert, next.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(next.CA)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, DNSName: name}); err != nil {
			t.Fatalf("at %s for %s: %v", now, name, err)
		}
	}
	return next
}

func TestWhatIsFineIsNotRenewed(t *testing.T) {
	names := []string{"svc.ns.svc", "127.0.0.1"}
	first := must(t, issued{}, names, issueStart)
	again := must(t, first, names, issueStart.Add(59*24*time.Hour))
	if !bytes.Equal(first.Cert, again.Cert) || !bytes.Equal(first.CA, again.CA) {
		t.Error("renewed without need")
	}
}

func TestACertificateIsRenewedWhen(t *testing.T) {
	names := []string{"svc.ns.svc"}
	first := must(t, issued{}, names, issueStart)
	for sentence, c := range map[string]struct {
		old       issued
		names     []string
		now       time.Time
		authority bool // it is to be another one
	}{
		"a third of its life is left":     {first, names, issueStart.Add(61 * 24 * time.Hour), false},
		"the service has another name":    {first, []string{"other.ns.svc"}, issueStart.Add(time.Minute), false},
		"the key is gone":                 {issued{CA: first.CA, CAKey: first.CAKey, Cert: first.Cert}, names, issueStart, false},
		"the authority is gone":           {issued{Cert: first.Cert, Key: first.Key}, names, issueStart, true},
		"the authority's key is not its":  {issued{CA: first.CA, CAKey: first.Key, Cert: []byte("x")}, names, issueStart, true},
		"everything is rubbish":           {issued{CA: []byte("x"), CAKey: []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), Cert: first.CAKey, Key: first.CA}, names, issueStart, true},
		"nobody looked for a year and so": {first, names, issueStart.Add(400 * 24 * time.Hour), true},
	} {
		t.Run(sentence, func(t *testing.T) {
			next := must(t, c.old, c.names, c.now)
			if bytes.Equal(next.Cert, c.old.Cert) {
				t.Error("the same certificate")
			}
			if changed := !bytes.Equal(next.CA, c.old.CA); changed != c.authority {
				t.Errorf("authority changed: %t", changed)
			}
		})
	}
}

// For five years, looking twice a day: whoever trusts the bundle of the last look or
// of this one accepts what is served now, and what was served then.
func TestRotationsOverlap(t *testing.T) {
	names := []string{"svc.ns.svc"}
	state := must(t, issued{}, names, issueStart)
	certificates, authorities := 0, 0
	for now := issueStart; now.Before(issueStart.AddDate(5, 0, 0)); now = now.Add(12 * time.Hour) {
		next, err := renew(state, names, now)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(next.Cert, state.Cert) && bytes.Equal(next.CA, state.CA) {
			continue
		}
		if !bytes.Equal(next.Cert, state.Cert) {
			certificates++
		}
		if len(parseCertificates(next.CA)) > len(parseCertificates(state.CA)) {
			authorities++
		}
		for _, served := range [][]byte{state.Cert, next.Cert} {
			for _, bundle := range [][]byte{state.CA, next.CA} {
				leaf := parseCertificates(served)[0]
				if !trusted(leaf, parseCertificates(bundle), now) {
					t.Fatalf("at %s a certificate is not trusted by everybody", now)
				}
			}
		}
		if n := len(parseCertificates(next.CA)); n > 2 {
			t.Fatalf("at %s the bundle has %d authorities", now, n)
		}
		state = next
	}
	if certificates < 25 || certificates > 40 || authorities < 6 || authorities > 9 {
		t.Errorf("%d certificates and %d authorities in five years", certificates, authorities)
	}
}
