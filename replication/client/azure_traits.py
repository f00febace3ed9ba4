"""In what Azure Blob Storage differs from other stores, and what its error codes mean."""

from replication.client.object_errors import Codes
from replication.client.object_traits import Permissions, Traits

AZURE_TRAITS = Traits(
    protocol="Azure Blob Storage",
    permissions=Permissions(
        read="Storage Blob Data Reader, or a SAS token with r",
        list="Storage Blob Data Reader, or a SAS token with l,",
        write="Storage Blob Data Contributor, or a SAS token with c and w",
        delete="Storage Blob Data Contributor, or a SAS token with d",
    ),
    level_format="ltx/{level}",
    timestamp_key="litestreamtimestamp",  # names of metadata are C# identifiers, so without a hyphen
    hides_missing=False,
    has_conditions=True,
)

AZURE_CODES = Codes(
    bucket_word="container",
    no_bucket="ContainerNotFound",
    wrong_keys={
        "AccountIsDisabled": "the storage account is disabled",
        "AuthenticationFailed": "the account key or SAS token is wrong or expired, or this machine's clock is",
        "AuthorizationFailure": "the account key or SAS token is wrong, or the account's network rules say no",
        "AuthorizationProtocolMismatch": "the SAS token is for https only",
        "AuthorizationSourceIPMismatch": "the SAS token is for other addresses than this machine's",
        "InvalidAuthenticationInfo": "the credentials are not valid",
        "KeyBasedAuthenticationNotPermitted": "the account takes no keys, only identities",
        "NoAuthenticationInformation": "the account wants credentials",
    },
    throttled=frozenset({"ServerBusy", "TooManyRequests"}),
    # InvalidBlockList: another upload of that name was committed meanwhile, which drops the blocks of this one.
    passing=frozenset({"OperationTimedOut", "InternalError", "InvalidBlockList", "ContainerBeingDeleted"}),
    taken=frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"}),
    no_bulk_delete=frozenset({"FeatureNotYetSupportedForHierarchicalNamespaceAccounts", "UnsupportedHttpVerb"}),
    sign_in_hint=(
        "give an account key or a SAS token, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, "
        "or pip install apsw-litestream[azure] for the other ways to sign in"
    ),
)
