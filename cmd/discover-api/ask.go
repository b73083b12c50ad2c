package main

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
)

// ask learns the server's version and the kinds of built-in and aggregated API versions.
//
// Built-in kinds come from the server's discovery documents. An aggregated API is asked itself, since the documents lag behind
// the moment it becomes available; if it doesn't answer, its kinds are unknown, which is no error of this hook.
func ask(ctx context.Context, client discovery.DiscoveryInterfaceWithContext, services []apiService) (answers, error) {
	info, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return answers{}, fmt.Errorf("ask the API server for its version: %w", err)
	}
	documents, err := builtIn(ctx, client)
	if err != nil {
		return answers{}, err
	}
	kinds := map[string][]string{}
	for _, s := range services {
		gv := s.groupVersion()
		list, known := documents[gv]
		if s.Aggregated {
			list, known = aggregated(ctx, client, s)
		}
		if known {
			kinds[gv] = kindsOf(list)
		}
	}
	if err := ctx.Err(); err != nil {
		return answers{}, fmt.Errorf("ask the API server for its kinds: %w", err)
	}
	return answers{GitVersion: info.GitVersion, Kinds: kinds}, nil
}

func builtIn(ctx context.Context, client discovery.DiscoveryInterfaceWithContext) (map[string]*metav1.APIResourceList, error) {
	_, lists, err := client.ServerGroupsAndResourcesWithContext(ctx)
	// A group that fails is an aggregated one; those are asked one by one.
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask the API server for its kinds: %w", err)
	}
	documents := make(map[string]*metav1.APIResourceList, len(lists))
	for _, list := range lists {
		documents[list.GroupVersion] = list
	}
	return documents, nil
}

func aggregated(ctx context.Context, client discovery.DiscoveryInterfaceWithContext, s apiService) (*metav1.APIResourceList, bool) {
	if !s.Available {
		return nil, false
	}
	list, err := client.ServerResourcesForGroupVersionWithContext(ctx, s.groupVersion())
	return list, err == nil
}

// kindsOf lists the kinds of resources; subresources (pods/log) have none of their own.
func kindsOf(list *metav1.APIResourceList) []string {
	kinds := []string{}
	for _, resource := range list.APIResources {
		if !strings.Contains(resource.Name, "/") {
			kinds = append(kinds, resource.Kind)
		}
	}
	return kinds
}
