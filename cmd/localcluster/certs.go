package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// certLifetime is how long certificates last. They live as long as the cluster.
const certLifetime = 365 * 24 * time.Hour

// keyPair is a certificate with its private key, both PEM.
type keyPair struct {
	CertPEM, KeyPEM []byte
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
}

// newCA makes a self-signed certificate authority.
func newCA() (*keyPair, error) {
	return issue(nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "localcluster"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	})
}

// serverCert makes the API server's serving certificate.
func (ca *keyPair) serverCert() (*keyPair, error) {
	return issue(ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceIPKubernetes)},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + clusterDomain,
		},
	})
}

// clientCert makes a client certificate; Kubernetes takes the user from the common
// name and the groups from the organizations.
func (ca *keyPair) clientCert(user string, groups ...string) (*keyPair, error) {
	return issue(ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// issue signs the template with ca, or with its own new key when ca is nil.
func issue(ca *keyPair, template *x509.Certificate) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", template.Subject.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(certLifetime)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate of %s: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &keyPair{CertPEM: certPEM, KeyPEM: keyPEM, cert: cert, key: key}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// writePKI writes the CA, the API server's certificate, the key that signs service
// account tokens, and one kubeconfig for each client, into dir.
func writePKI(dir, server string) error {
	ca, err := newCA()
	if err != nil {
		return err
	}
	serving, err := ca.serverCert()
	if err != nil {
		return err
	}
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	tokensPEM, err := encodeKey(tokens)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		fileCACert: ca.CertPEM, fileCAKey: ca.KeyPEM,
		fileServerCert: serving.CertPEM, fileServerKey: serving.KeyPEM,
		fileTokenKey: tokensPEM,
	}
	for file, user := range kubeconfigUsers() {
		pair, err := ca.clientCert(user, "system:masters")
		if err != nil {
			return err
		}
		if files[file], err = kubeconfigFor(server, user, ca.CertPEM, pair); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfigUsers maps each kubeconfig file to its user. All are system:masters:
// the controller manager runs all its controllers as one user (it starts faster so),
// and kwok plays the kubelet of every node. RBAC is for the users of the cluster.
func kubeconfigUsers() map[string]string {
	return map[string]string{
		fileKubeconfig:                  "kubernetes-admin",
		fileControllerManagerKubeconfig: "system:kube-controller-manager",
		fileSchedulerKubeconfig:         "system:kube-scheduler",
		fileKwokKubeconfig:              "localcluster:kwok",
		fileCloudKubeconfig:             "localcluster:cloud",
	}
}

func kubeconfigFor(server, user string, caPEM []byte, pair *keyPair) ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["localcluster"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: caPEM}
	cfg.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	cfg.Contexts["localcluster"] = &clientcmdapi.Context{Cluster: "localcluster", AuthInfo: user}
	cfg.CurrentContext = "localcluster"
	text, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", user, err)
	}
	return append([]byte(kubeconfigMark+"\n"), text...), nil
}
