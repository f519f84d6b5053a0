"""The names that `--feature-gates` takes. Two of them mean something here; the others are taken without effect.

Upstream's program knows the gates of the API server's library as well, so a command line may carry them.
"""

from collections.abc import Iterable
from typing import Final

from snapshotter.settings.topics import Mistake

GROUP_SNAPSHOTS: Final = "CSIVolumeGroupSnapshot"
RELEASE_ON_EXIT: Final = "ReleaseLeaderElectionOnExit"

_OF_THE_LIBRARY: Final = frozenset(
    """
    AllAlpha AllBeta
    APIResponseCompression APIServerIdentity APIServerTracing APIServingWithRoutine AggregatedDiscoveryRemoveBetaType
    AllowParsingUserUIDFromCertAuth AllowUnsafeMalformedObjectDeletion AnonymousAuthConfigurableEndpoints
    AuthorizeWithSelectors BtreeWatchCache CBORServingAndStorage ComponentFlagz ComponentStatusz
    ConcurrentWatchObjectDecode ConsistentListFromCache ConsistentListFromCacheSkipTimeoutFallback
    ConstrainedImpersonation CoordinatedLeaderElection DeclarativeValidation DeclarativeValidationBeta
    DeclarativeValidationTakeover DetectCacheInconsistency KMSv1 ListFromCacheSnapshot
    ManifestBasedAdmissionControlConfig MutatingAdmissionPolicy OpenAPIEnums RemoteRequestHeaderUID
    ResilientWatchCacheInitialization RetryGenerateName SeparateCacheWatchRPC ShardedListAndWatch
    SizeBasedListCostEstimate StorageVersionAPI StorageVersionHash StreamingCollectionEncodingToJSON
    StreamingCollectionEncodingToProtobuf StrictCostEnforcementForVAP StrictCostEnforcementForWebhooks
    StructuredAuthenticationConfiguration StructuredAuthenticationConfigurationEgressSelector
    StructuredAuthenticationConfigurationJWKSMetrics StructuredAuthorizationConfiguration
    TokenRequestServiceAccountUIDValidation UnauthenticatedHTTP2DOSMitigation UnknownVersionInteroperabilityProxy
    WatchCacheInitializationPostStartHook WatchFromStorageWithoutResourceVersion WatchList
    """.split()  # noqa: SIM905 (one name a line would be a page)
)

KNOWN: Final = _OF_THE_LIBRARY | {GROUP_SNAPSHOTS, RELEASE_ON_EXIT}


def mistakes(gates: Iterable[tuple[str, bool]]) -> list[Mistake]:
    """A mistake for each name that is no gate; upstream exits with 255 then."""
    return [Mistake(f'"{name}" is not a feature gate', 255) for name, _ in gates if name not in KNOWN]


def is_on(gates: Iterable[tuple[str, bool]], name: str) -> bool:
    """Whether one of our two gates is on: both are, unless the last word about it says otherwise."""
    return dict(gates).get(name, True)
