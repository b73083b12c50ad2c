package helm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// whyNotFinished says what the newest pod of a chart hook did, "" when nothing can be
// told. The hook may be deleted right after, so this is all that is left to see.
func (o *objects) whyNotFinished(ctx context.Context, it *item) string {
	opts := metav1.ListOptions{}
	logs := ""
	switch it.mapping.GroupVersionKind.GroupKind() {
	case batchv1.SchemeGroupVersion.WithKind("Job").GroupKind():
		opts.LabelSelector = labels.Set{batchv1.JobNameLabel: it.Name}.String()
		logs = "job/" + it.Name
	case corev1.SchemeGroupVersion.WithKind("Pod").GroupKind():
		opts.FieldSelector = fields.OneTermEqualSelector("metadata.name", it.Name).String()
		logs = it.Name
	default:
		return ""
	}
	list, err := o.watch.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(it.Namespace).List(ctx, opts)
	if apierrors.IsForbidden(err) {
		return "what its pods did cannot be told: " + o.explained(err).Error()
	}
	if err != nil || len(list.Items) == 0 {
		return "it has no pod"
	}
	newest := slices.MaxFunc(list.Items, func(a, b unstructured.Unstructured) int {
		return cmp.Or(a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time), strings.Compare(a.GetName(), b.GetName()))
	})
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(newest.Object, &pod); err != nil {
		return ""
	}
	return fmt.Sprintf("%s; its output, while it is there: kubectl logs -n %s %s --all-containers", DescribePod(&pod), it.Namespace, logs)
}

// DescribePod says what keeps a pod from succeeding, container by container.
func DescribePod(pod *corev1.Pod) string {
	var out []string
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if text := describeContainer(c); text != "" {
			out = append(out, text)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			out = append(out, c.Reason+" "+c.Message)
		}
	}
	if len(out) == 0 {
		out = append(out, strings.TrimSpace(fmt.Sprintf("phase %s %s %s", pod.Status.Phase, pod.Status.Reason, pod.Status.Message)))
	}
	return "pod " + pod.Name + ": " + strings.Join(out, "; ")
}

func describeContainer(c corev1.ContainerStatus) string {
	ended := c.State.Terminated
	if ended == nil {
		ended = c.LastTerminationState.Terminated
	}
	switch {
	case c.State.Waiting != nil && ended == nil:
		return strings.TrimSpace(fmt.Sprintf("container %s waits: %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message))
	case ended != nil && (ended.ExitCode != 0 || ended.Reason != "Completed" && ended.Reason != ""):
		text := fmt.Sprintf("container %s ended with exit code %d (%s)", c.Name, ended.ExitCode, ended.Reason)
		if m := strings.TrimSpace(ended.Message); m != "" {
			const most = 1 << 10
			text += ": " + m[max(0, len(m)-most):]
		}
		return text
	}
	return ""
}
