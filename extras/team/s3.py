"""A client of what keeps the artifacts, Amazon's S3 or another that speaks it."""

from typing import Any

WHEN_REQUIRED = "when_required"  # what speaks S3 may not know Amazon's newer checksums


def client(endpoint: str, **settings: Any) -> Any:
    """Boto's client, whose key is in AWS's variables or files as they are now.

    Args:
        endpoint: its address; empty for Amazon's.
        settings: of botocore's `Config`.
    """
    import boto3
    from botocore.config import Config

    checksums = {
        "request_checksum_calculation": WHEN_REQUIRED,
        "response_checksum_validation": WHEN_REQUIRED,
    }
    config = Config(**settings, **(checksums if endpoint else {}))
    return boto3.Session().client("s3", endpoint_url=endpoint or None, config=config)
