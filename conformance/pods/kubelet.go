// The kubelet: a Pod's container as a process, its volumes as files, its log in memory.

package pods

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/wicketgate/wicketgate/conformance/apiserver"
)

// container is one running process.
type container struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	lines []logLine
}

type logLine struct {
	at   time.Time
	text string
}

func (r *container) stop() {
	r.cancel()
	<-r.done
}

// start runs a Pod's container, stores the Pod, and lets it become ready in its own time. c.mu is held.
func (c *Cluster) start(ctx context.Context, id apiserver.ID, p *corev1.Pod) error {
	dir, err := os.MkdirTemp(c.Dir, "pod")
	if err != nil {
		return err
	}
	spec := &p.Spec.Containers[0]
	mounts, err := c.mount(p, spec, dir)
	if err != nil {
		return err
	}
	ip := fmt.Sprintf("127.100.%d.%d", c.next/250, c.next%250+1)
	c.next++
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	env, port := environment(p, spec, mounts)

	own, cancel := context.WithCancel(ctx)
	r := &container{cmd: exec.CommandContext(own, c.Program), cancel: cancel, done: make(chan struct{})}
	r.cmd.Env = env
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	r.cmd.Stderr = r.cmd.Stdout
	if err := r.cmd.Start(); err != nil {
		cancel()
		return err
	}
	c.running[id] = r
	go r.follow(out)
	go c.await(own, id, p, port)
	return nil
}

// mount writes the files of a Pod's volumes and returns where each mount path is to be found.
func (c *Cluster) mount(p *corev1.Pod, spec *corev1.Container, dir string) (map[string]string, error) {
	mounts := map[string]string{}
	for _, m := range spec.VolumeMounts {
		for _, v := range p.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			at := filepath.Join(dir, v.Name)
			if err := os.Mkdir(at, 0o700); err != nil {
				return nil, err
			}
			mounts[m.MountPath] = at
			if err := c.fill(p.Namespace, &v, at); err != nil {
				return nil, err
			}
		}
	}
	return mounts, nil
}

// fill writes the items of a Secret or ConfigMap volume.
func (c *Cluster) fill(namespace string, v *corev1.Volume, at string) error {
	kind, name := "Secret", ""
	var items []corev1.KeyToPath
	switch {
	case v.Secret != nil:
		name, items = v.Secret.SecretName, v.Secret.Items
	case v.ConfigMap != nil:
		kind, name, items = "ConfigMap", v.ConfigMap.Name, v.ConfigMap.Items
	default:
		return fmt.Errorf("volume %s is neither a Secret nor a ConfigMap", v.Name)
	}
	for _, u := range c.API.List(c.API.Kind("", kind), namespace) {
		if u.GetName() != name {
			continue
		}
		values := map[string][]byte{}
		var s corev1.Secret
		var m corev1.ConfigMap
		if kind == "Secret" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
				return err
			}
			values = s.Data
			for k, text := range s.StringData {
				values[k] = []byte(text)
			}
		} else if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &m); err != nil {
			return err
		}
		for k, text := range m.Data {
			values[k] = []byte(text)
		}
		for _, item := range items {
			if err := os.WriteFile(filepath.Join(at, item.Path), values[item.Key], 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s %s/%s does not exist", kind, namespace, name)
}

// environment is the container's, and the TCP port by which its readiness is known ("" for UDP).
func environment(p *corev1.Pod, spec *corev1.Container, mounts map[string]string) (env []string, port string) {
	env, port = []string{"POD_IP=" + p.Status.PodIP}, "3000"
	for _, e := range spec.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			switch e.ValueFrom.FieldRef.FieldPath {
			case "metadata.name":
				value = p.Name
			case "metadata.namespace":
				value = p.Namespace
			}
		}
		for path, dir := range mounts {
			value = strings.Replace(value, path, dir, 1)
		}
		switch e.Name {
		case "HTTP_PORT", "TCP_PORT":
			port = value
		case "UDP_ECHO_SERVER":
			port = ""
		}
		env = append(env, e.Name+"="+value)
	}
	return env, port
}

// follow keeps what the container prints, and when.
func (r *container) follow(out io.Reader) {
	defer close(r.done)
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		r.mu.Lock()
		r.lines = append(r.lines, logLine{time.Now(), scan.Text()})
		r.mu.Unlock()
	}
	// How a killed process ended is of no interest.
	_ = r.cmd.Wait()
}

// await stores the Pod as ready once it accepts connections.
func (c *Cluster) await(ctx context.Context, id apiserver.ID, p *corev1.Pod, port string) {
	for port != "" {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(p.Status.PodIP, port))
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	now := metav1.Now()
	for _, t := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady, corev1.PodInitialized, corev1.PodScheduled} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	if err := c.put(ctx, id, p); err != nil && ctx.Err() == nil {
		c.Log.Error("pod", "pod", p.Name, "err", err)
	}
	c.Changed()
}

// Logs returns what a Pod printed since a time, a line each.
func (c *Cluster) Logs(namespace, name string, since time.Time) (string, error) {
	c.mu.Lock()
	r := c.running[apiserver.ID{Resource: c.API.Kind("", "Pod"), Namespace: namespace, Name: name}]
	c.mu.Unlock()
	if r == nil {
		return "", apierrors.NewNotFound(k8sschema.GroupResource{Resource: "pods"}, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.lines {
		if !l.at.Before(since) {
			b.WriteString(l.text + "\n")
		}
	}
	return b.String(), nil
}

// same says whether a stored object has what a new one says, apart from what the API server adds.
func same(stored, wanted map[string]any) bool {
	for k, v := range wanted {
		if k == "metadata" {
			continue
		}
		if !reflect.DeepEqual(stored[k], v) {
			return false
		}
	}
	return true
}
