// Admission of Secrets and ConfigMaps.

package config

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// admitSecret merges stringData into data, as an API server does, and validates.
func admitSecret(s *corev1.Secret, f *findings) {
	data := field.NewPath("data")
	for key, text := range s.StringData {
		invalid(f, field.NewPath("stringData").Key(key), key, validation.IsConfigMapKey(key))
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		s.Data[key] = []byte(text)
	}
	merged := s.StringData
	s.StringData = nil
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	total := 0
	for key, value := range s.Data {
		if _, ok := merged[key]; !ok {
			invalid(f, data.Key(key), key, validation.IsConfigMapKey(key))
		}
		total += len(value)
	}
	if total > corev1.MaxSecretSize {
		f.errorf(data, "holds %d bytes, and at most %d are allowed", total, corev1.MaxSecretSize)
	}
	for _, key := range requiredKeys[s.Type] {
		if _, ok := s.Data[key]; !ok {
			f.errorf(data.Key(key), "is required in a Secret of type %s", s.Type)
		}
	}
}

// requiredKeys are the keys that a type of Secret must have.
var requiredKeys = map[corev1.SecretType][]string{
	corev1.SecretTypeTLS:              {corev1.TLSCertKey, corev1.TLSPrivateKeyKey},
	corev1.SecretTypeSSHAuth:          {corev1.SSHAuthPrivateKey},
	corev1.SecretTypeDockercfg:        {corev1.DockerConfigKey},
	corev1.SecretTypeDockerConfigJson: {corev1.DockerConfigJsonKey},
}

// admitConfigMap validates a ConfigMap.
func admitConfigMap(c *corev1.ConfigMap, f *findings) {
	total := 0
	for key, value := range c.Data {
		path := field.NewPath("data").Key(key)
		invalid(f, path, key, validation.IsConfigMapKey(key))
		if _, ok := c.BinaryData[key]; ok {
			f.errorf(path, "is given in binaryData, too")
		}
		total += len(value)
	}
	for key, value := range c.BinaryData {
		invalid(f, field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))
		total += len(value)
	}
	if total > corev1.MaxSecretSize {
		f.errorf(nil, "data and binaryData hold %d bytes, and at most %d are allowed", total, corev1.MaxSecretSize)
	}
}
