package helm

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// How Helm 3 stores a revision: Secret sh.helm.release.v1.<name>.v<revision>, whose
// key "release" is base64 of gzip of JSON, and whose labels repeat what lists need.
const (
	recordType     = "helm.sh/release.v1"
	recordPrefix   = "sh.helm.release.v1."
	recordKey      = "release"
	statusRemoved  = installed.Status(release.StatusUninstalled)
	pageOfRecords  = 500
	maxRecordBytes = corev1.MaxSecretSize
	// reservedBytes are left free when a revision is begun, for what its end adds: status, description, chart hooks.
	reservedBytes = 16 << 10
	// maxReleaseBytes bounds the text that a stored record may unpack to.
	maxReleaseBytes = 64 << 20
)

var systemLabels = []string{"name", "owner", "status", "version", "createdAt", "modifiedAt"} //nolint:gochecknoglobals // constant list

// records are the release records of one namespace.
type records struct {
	secrets corev1client.SecretInterface
	heads   metadata.ResourceInterface
}

func newRecords(cfg *rest.Config, h *http.Client, namespace string) (*records, error) {
	core, err := corev1client.NewForConfigAndClient(protobuf(cfg), h)
	if err != nil {
		return nil, err
	}
	md, err := metadata.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, err
	}
	return &records{
		secrets: core.Secrets(namespace),
		heads:   md.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace),
	}, nil
}

func protobuf(cfg *rest.Config) *rest.Config {
	pb := rest.CopyConfig(cfg)
	pb.ContentType = runtime.ContentTypeProtobuf
	pb.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return pb
}

// record is one stored revision with its payload.
type record struct {
	*release.Release
	resourceVersion string
	// because says why the digest of LabelRejected was turned down. It is data of the Secret,
	// for it may quote values; Helm drops it when it stores the revision again.
	because string
}

const becauseKey = "rejectedBecause"

func recordName(name string, revision int) string {
	return recordPrefix + name + ".v" + strconv.Itoa(revision)
}

// index lists the revisions of one release, or of all when name is empty, newest
// first, from the labels alone. Revisions of releases uninstalled with
// --keep-history are among them.
func (r *records) index(ctx context.Context, name string) ([]installed.Release, error) {
	sel := labels.Set{"owner": "helm"}
	if name != "" {
		sel["name"] = name
	}
	opts := metav1.ListOptions{LabelSelector: sel.String(), Limit: pageOfRecords}
	var out []installed.Release
	for {
		page, err := r.heads.List(ctx, opts)
		if err != nil {
			return nil, fmt.Errorf("list release records: %w", err)
		}
		for i := range page.Items {
			if rel, ok := headOf(&page.Items[i].ObjectMeta); ok {
				out = append(out, rel)
			}
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b installed.Release) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Revision, a.Revision))
	})
	return out, nil
}

func headOf(m *metav1.ObjectMeta) (installed.Release, bool) {
	rev, err := strconv.Atoi(m.Labels["version"])
	if err != nil || rev <= 0 || m.Name != recordName(m.Labels["name"], rev) {
		return installed.Release{}, false
	}
	own := maps.Clone(m.Labels)
	for _, k := range systemLabels {
		delete(own, k)
	}
	return installed.Release{
		Name: m.Labels["name"], Revision: rev, Status: installed.Status(m.Labels["status"]),
		Updated:  unixLabel(m.Labels, m.CreationTimestamp.Time),
		Instance: own[LabelInstance], InputDigest: own[LabelInputDigest], RenderDigest: own[LabelRenderDigest],
		PredecessorChecksum: own[LabelPredecessor], Labels: own,
		Rejected: own[LabelRejected], Account: own[LabelAccount],
	}, true
}

func unixLabel(l map[string]string, created time.Time) time.Time {
	for _, k := range []string{"modifiedAt", "createdAt"} {
		if sec, err := strconv.ParseInt(l[k], 10, 64); err == nil {
			return time.Unix(sec, 0)
		}
	}
	return created
}

// errGarbled: a record is there, but its payload is none.
var errGarbled = errors.New("the record cannot be read")

// load reads one revision with its payload.
func (r *records) load(ctx context.Context, name string, revision int) (*record, error) {
	s, err := r.secrets.Get(ctx, recordName(name, revision), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read revision %d of release %s: %w", revision, name, err)
	}
	rel, err := decodeRelease(s.Data[recordKey])
	if err != nil {
		return nil, fmt.Errorf("read revision %d of release %s: Secret %s/%s: %w: %w", revision, name, s.Namespace, s.Name, errGarbled, err)
	}
	rel.Labels = maps.Clone(s.Labels)
	for _, k := range systemLabels {
		delete(rel.Labels, k)
	}
	return &record{Release: rel, resourceVersion: s.ResourceVersion, because: string(s.Data[becauseKey])}, nil
}

// errTaken: there is a record of this revision already.
var errTaken = errors.New("stored by somebody else meanwhile")

// createNext stores a new revision. A record that does not show in the index, because
// somebody took its labels off, must not block the release: then the next free number is taken.
func (r *records) createNext(ctx context.Context, rel *release.Release, because string, now time.Time) (*record, error) {
	const hidden = 5
	for i := 0; ; i++ {
		rec, err := r.create(ctx, rel, because, now)
		if !errors.Is(err, errTaken) {
			return rec, err
		}
		seen, lookErr := r.index(ctx, rel.Name)
		if lookErr != nil || i >= hidden || len(seen) > 0 && seen[0].Revision >= rel.Version {
			return nil, errors.Join(err, ErrPending, lookErr)
		}
		rel.Version++
	}
}

// create stores a new revision.
func (r *records) create(ctx context.Context, rel *release.Release, because string, now time.Time) (*record, error) {
	s, err := secretOf(rel, "createdAt", maxRecordBytes-reservedBytes, now)
	if err != nil {
		return nil, err
	}
	note(s, because)
	got, err := r.secrets.Create(ctx, s, metav1.CreateOptions{FieldManager: FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("revision %d of release %s: %w", rel.Version, rel.Name, errTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("store revision %d of release %s: %w", rel.Version, rel.Name, err)
	}
	return &record{Release: rel, resourceVersion: got.ResourceVersion, because: because}, nil
}

// update stores rec; it fails when somebody else changed it since it was read.
func (r *records) update(ctx context.Context, rec *record, now time.Time) error {
	s, err := secretOf(rec.Release, "modifiedAt", maxRecordBytes, now)
	if err != nil {
		return err
	}
	s.ResourceVersion = rec.resourceVersion
	note(s, rec.because)
	got, err := r.secrets.Update(ctx, s, metav1.UpdateOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("store revision %d of release %s as %s: %w", rec.Version, rec.Name, rec.Info.Status, err)
	}
	rec.resourceVersion = got.ResourceVersion
	return nil
}

func note(s *corev1.Secret, because string) {
	if because != "" {
		s.Data[becauseKey] = []byte(because)
	}
}

// relabel sets the status of a revision in its labels alone, where its payload cannot be read.
func (r *records) relabel(ctx context.Context, name string, revision int, status installed.Status) error {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"status":%q}}}`, status)
	_, err := r.secrets.Patch(ctx, recordName(name, revision), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("label revision %d of release %s as %s: %w", revision, name, status, err)
	}
	return nil
}

// remove deletes a revision; one that is gone is fine.
func (r *records) remove(ctx context.Context, name string, revision int) error {
	err := r.secrets.Delete(ctx, recordName(name, revision), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete revision %d of release %s: %w", revision, name, err)
	}
	return nil
}

func secretOf(rel *release.Release, stamp string, limit int, now time.Time) (*corev1.Secret, error) {
	data, err := pack(rel, limit)
	if err != nil {
		return nil, fmt.Errorf("pack revision %d of release %s: %w", rel.Version, rel.Name, err)
	}
	l := maps.Clone(rel.Labels)
	if l == nil {
		l = map[string]string{}
	}
	maps.Copy(l, map[string]string{
		"name": rel.Name, "owner": "helm", "status": rel.Info.Status.String(), "version": strconv.Itoa(rel.Version),
		stamp: strconv.FormatInt(now.Unix(), 10),
	})
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: recordName(rel.Name, rel.Version), Labels: l},
		Type:       recordType,
		Data:       map[string][]byte{recordKey: data},
	}, nil
}

func encodeRelease(rel *release.Release, level int) ([]byte, error) {
	var b bytes.Buffer
	b64 := base64.NewEncoder(base64.StdEncoding, &b)
	z, err := gzip.NewWriterLevel(b64, level)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(z).Encode(rel); err != nil {
		return nil, err
	}
	if err := errors.Join(z.Close(), b64.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decodeRelease reads what Helm 3, or encodeRelease, wrote.
func decodeRelease(data []byte) (*release.Release, error) {
	raw, err := base64.StdEncoding.AppendDecode(nil, data)
	if err != nil {
		return nil, fmt.Errorf("not a release record: %w", err)
	}
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b, 0x08}) {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("not a release record: %w", err)
		}
		if raw, err = io.ReadAll(io.LimitReader(z, maxReleaseBytes+1)); err != nil {
			return nil, fmt.Errorf("not a release record: %w", err)
		}
		if len(raw) > maxReleaseBytes {
			return nil, fmt.Errorf("release record unpacks to more than %d bytes", maxReleaseBytes)
		}
	}
	var rel release.Release
	if err := json.Unmarshal(raw, &rel); err != nil {
		return nil, fmt.Errorf("not a release record: %w", err)
	}
	if rel.Name == "" || rel.Version <= 0 {
		return nil, errors.New("not a release record: no name or revision")
	}
	if rel.Info == nil {
		rel.Info = &release.Info{}
	}
	return &rel, nil
}
