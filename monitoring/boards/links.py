"""Links between dashboards, to the runbook, and from a series or a row to its dashboard."""

from __future__ import annotations

from monitoring.boards.sdk import dashboard

TAG = "flashback"

_KEEP = "${datasource:queryparam}&${__url_time_range}"


def top(runbook: str) -> list[dashboard.DashboardLink]:
    """The links above each board: all boards by their tag, and the runbook."""
    boards = dashboard.DashboardLink(
        title="Flashback dashboards",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        tags=[TAG],
        as_dropdown=True,
        icon="external link",
        include_vars=True,
        keep_time=True,
    )
    return [_shown(boards), _shown(_link("Runbook", runbook, "What each alert means", "doc"))]


def series_to_bucket() -> dashboard.DashboardLink:
    """From a series to its bucket's page."""
    return _to("Bucket", "bucket", "var-bucket=${__field.labels.bucket_id:percentencode}")


def series_to_node() -> dashboard.DashboardLink:
    """From a series to its node's page."""
    return _to("Node", "node", "var-host=${__field.labels.host:percentencode}")


def row_to_bucket() -> dashboard.DashboardLink:
    """From a table's row to its bucket's page."""
    return _to("Bucket", "bucket", 'var-bucket=${__data.fields["Bucket id"]:percentencode}')


def row_to_node() -> dashboard.DashboardLink:
    """From a table's row to its node's page."""
    return _to("Node", "node", 'var-host=${__data.fields["Host"]:percentencode}')


def runbook(alert: str) -> dashboard.DashboardLink:
    """An alert's section of the runbook; `layout` prepends the runbook's URL."""
    return _shown(_link("Runbook", f"#{alert.lower()}", f"Runbook: {alert}", "doc"))


def _to(title: str, board: str, variables: str) -> dashboard.DashboardLink:
    return _shown(_link(title, f"/d/flashback-{board}?{variables}&{_KEEP}", "", ""))


def _link(title: str, url: str, tooltip: str, icon: str) -> dashboard.DashboardLink:
    away = not url.startswith("/")
    return dashboard.DashboardLink(
        title=title, url=url, tooltip=tooltip, icon=icon, target_blank=away
    )


def _shown(link: dashboard.DashboardLink) -> dashboard.DashboardLink:
    link.placement = None  # type: ignore[assignment] # else the SDK hides each link in a menu
    return link
