package main

import (
	"context"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"

	corev1 "k8s.io/api/core/v1"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
	"k8s.io/kubernetes/pkg/quota/v1/install"
)

// newKinds is how often a controller looks for kinds that are served now. A cluster has 30 s here, which is too long for
// tests that define kinds.
const newKinds = 2 * time.Second

const workers = 5

// startControllers starts the controllers that users of the API see at work: those that collect garbage, empty
// namespaces, count for quotas, and let claims and volumes go that nothing uses.
func startControllers(ctx context.Context, administrator *rest.Config) error {
	client, err := kubernetes.NewForConfig(administrator)
	if err != nil {
		return err
	}
	anything, err := metadata.NewForConfig(administrator)
	if err != nil {
		return err
	}
	typed := informers.NewSharedInformerFactory(client, 0)
	untyped := metadatainformer.NewSharedInformerFactory(anything, 0)
	started := make(chan struct{})
	either := informerfactory.NewInformerFactory(typed, untyped)

	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	garbage, err := garbagecollector.NewGarbageCollector(
		ctx, client, anything, mapper, garbagecollector.DefaultIgnoredResources(), either, started)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(
		ctx, client, anything, client.Discovery().ServerPreferredNamespacedResources,
		typed.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	quotas, err := newQuotaController(ctx, client, typed, either, started)
	if err != nil {
		return err
	}
	claims, err := pvcprotection.NewPVCProtectionController(
		klog.FromContext(ctx), typed.Core().V1().PersistentVolumeClaims(), typed.Core().V1().Pods(), client)
	if err != nil {
		return err
	}
	volumes := pvprotection.NewPVProtectionController(klog.FromContext(ctx), typed.Core().V1().PersistentVolumes(), client)

	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	close(started)
	go garbage.Run(ctx, workers, newKinds)
	go garbage.Sync(ctx, client.Discovery(), newKinds)
	go namespaces.Run(ctx, workers)
	go quotas.Run(ctx, workers)
	go quotas.Sync(ctx, client.Discovery().ServerPreferredNamespacedResources, newKinds)
	go claims.Run(ctx, 1)
	go volumes.Run(ctx, 1)
	return nil
}

func newQuotaController(
	ctx context.Context, client kubernetes.Interface, typed informers.SharedInformerFactory,
	either informerfactory.InformerFactory, started chan struct{},
) (*resourcequota.Controller, error) {
	configuration, err := install.NewQuotaConfigurationForControllers(
		generic.ListerFuncForResourceFunc(typed.ForResource), typed)
	if err != nil {
		return nil, err
	}
	var evaluators []quota.Evaluator = configuration.Evaluators()
	return resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     typed.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(5 * time.Minute),
		InformerFactory:           either,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(12 * time.Hour),
		DiscoveryFunc:             client.Discovery().ServerPreferredNamespacedResources,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          started,
		Registry:                  generic.NewRegistry(evaluators),
		UpdateFilter:              install.DefaultUpdateFilter(),
	})
}
