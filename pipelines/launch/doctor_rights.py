"""The doctor on rights: which permissions whoever launches, and the tasks' account, have on each resource."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from components.adapters.gcp.account import Account, Reply
from pipelines.launch.doctor_check import Check
from pipelines.launch.doctor_needs import Grant


def checks(you: Account, grants: Sequence[Grant], email: str) -> Iterator[Check]:
    """A line for each role and resource: yours, then the tasks' under their own account, where you may become it.

    `email` is that account's; empty: they have yours.
    """
    yield from (_right(you, grant) for grant in grants if grant.who == "you")
    tasks = you if email in ("", you.who) else you.as_service_account(email)
    if tasks is None:
        tail = f"--member={you.member} --role=roles/iam.serviceAccountTokenCreator"
        remedy = f"not looked at: gcloud iam service-accounts add-iam-policy-binding {email} {tail}"
        yield Check("rights of the tasks", "missing", f"you may not act as {email}", remedy)
    else:
        yield from (_right(tasks, grant) for grant in grants if grant.who == "tasks")


def _right(account: Account, grant: Grant) -> Check:
    whose = "tasks: " if grant.who == "tasks" else ""
    name = f"{whose}{grant.role.removeprefix('roles/')} on {_short(grant.on)}"
    reply = _tested(account, grant)
    if not reply.ok:
        return Check(name, "broken", reply.told, f"{_for(account)} is not told what it may do there")
    lacking = [p for p in grant.permissions if p not in reply.data.get("permissions", [])]
    if not lacking:
        return Check(name, "ok", f"{_for(account)}: {len(grant.permissions)} permissions")
    found = f"{_for(account)} lacks {', '.join(lacking)}"
    if grant.elsewhere:
        return Check(name, "missing", found, f"it may have it on a part; else: {_binding(account, grant)}")
    return Check(name, "broken", found, _binding(account, grant))


def _for(account: Account) -> str:
    return account.who or "you"


def _short(resource: str) -> str:
    return resource.removeprefix("projects/").partition("@")[0]


def _tested(account: Account, grant: Grant) -> Reply:
    """Which of the permissions the account has."""
    body = {"permissions": list(grant.permissions)}
    if grant.on.startswith("gs://"):
        bucket = quote(grant.on.removeprefix("gs://"), safe="")
        query = [("permissions", permission) for permission in grant.permissions]
        return account.get(f"storage.googleapis.com/storage/v1/b/{bucket}/iam/testPermissions", query)
    if "@" in grant.on:
        return account.post(f"iam.googleapis.com/v1/projects/-/serviceAccounts/{grant.on}:testIamPermissions", body)
    if "/topics/" in grant.on:
        return account.post(f"pubsub.googleapis.com/v1/{grant.on}:testIamPermissions", body)
    return account.post(f"cloudresourcemanager.googleapis.com/v3/{grant.on}:testIamPermissions", body)


def _binding(account: Account, grant: Grant) -> str:
    """The command that gives the role."""
    tail = f"--member={account.member} --role={grant.role}"
    if grant.on.startswith("gs://"):
        return f"gcloud storage buckets add-iam-policy-binding {grant.on} {tail}"
    if "@" in grant.on:
        return f"gcloud iam service-accounts add-iam-policy-binding {grant.on} {tail}"
    if "/topics/" in grant.on:
        return f"gcloud pubsub topics add-iam-policy-binding {grant.on} {tail}"
    return f"gcloud projects add-iam-policy-binding {grant.on.removeprefix('projects/')} {tail}"
