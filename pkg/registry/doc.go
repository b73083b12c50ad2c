// Package registry fetches and pushes OCI artifacts: modules, and the documents of channels.
//
// A source is a registry (oci://HOST/ROOT) or a directory in OCI image layout
// (oci-layout:///PATH, https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
// Below its root lie
//
//	modules/NAME:VERSION       immutable, pulled by digest only
//	channels:CHANNEL           the newest document of a channel; one HEAD asks whether it moved
//	channels:CHANNEL-SEQ       every document there was
//
// What is fetched is kept by digest in a cache directory of bounded size, and every byte is
// verified again when it is read from there. What is pinned is never evicted. A registry that hangs, floods,
// redirects elsewhere or answers something else than was asked for gives an error that names it; nothing of it
// reaches the cache.
package registry
