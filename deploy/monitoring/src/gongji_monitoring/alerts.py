"""The alerts by symptom; what to do about each is in `docs/operations/alerts.md`."""

from typing import Final

from gongji_monitoring.objectives import FAULTS, FEW, SETTLING, SETTLING_ONE
from gongji_monitoring.rule_files import Alert, Severity

_UP: Final = 'up{job="gongji", service=~"identity|binding|settlement|notify"}'
"""Of our targets: anybody may have a service that is called `identity`."""
_FAILED: Final = f'sum by (namespace) (rate(gongji_grpc_calls_total{{method=~"{SETTLING}", code=~"{FAULTS}"}}[5m]))'
_ONE: Final = f'{{method=~"{SETTLING_ONE}"}}'
PAGE, TICKET = Severity.PAGE, Severity.TICKET

_CALLS: Final = (
    Alert(
        "GongjiServiceDown",
        # No process answers; or some do and none is ready; or there is none left that could be asked.
        f"""
        sum by (namespace, service) ({_UP}) == 0
        or sum by (namespace, service) (gongji_process_ready) == 0
        or count by (namespace, service) (last_over_time({_UP}[6h])) unless count by (namespace, service) ({_UP})
        """,
        "2m",
        PAGE,
        "No process of {{ $labels.service }} can be called",
        "{{ $labels.service }} 没有可用的进程",
        "In {{ $labels.namespace }} no process of {{ $labels.service }} answers Prometheus and is ready.",
    ),
    Alert(
        "GongjiSettleErrors",
        f"""
        {_FAILED} / sum by (namespace) (rate(gongji_grpc_calls_total{{method=~"{SETTLING}"}}[5m])) > 0.05
        and {_FAILED} * 300 > {FEW}
        """,
        "2m",
        PAGE,
        "Settling fails through the platform's fault",
        "结算因平台原因失败",
        "{{ $value | humanizePercentage }} of the calls that settle or reverse failed in the last five minutes.",
    ),
    Alert(
        "GongjiSettleSlow",
        f"""
        histogram_quantile(0.99, sum by (namespace, le) (rate(gongji_grpc_duration_seconds_bucket{_ONE}[5m]))) > 2
        and sum by (namespace) (rate(gongji_grpc_duration_seconds_count{_ONE}[5m])) * 300 > 20
        """,
        "5m",
        PAGE,
        "Settling is slow",
        "结算缓慢",
        "One call in a hundred that settles takes longer than {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "GongjiOverloaded",
        'sum by (namespace, service) (rate(gongji_grpc_calls_total{reason="OVERLOADED"}[5m])) > 0.1',
        "5m",
        TICKET,
        "{{ $labels.service }} refuses calls for want of room",
        "{{ $labels.service }} 过载，正在拒绝请求",
        "{{ $value | humanize }} calls a second are answered with OVERLOADED.",
    ),
    Alert(
        "GongjiDatabasePoolExhausted",
        "sum by (namespace, service) (rate(gongji_database_refused_total[5m])) > 0",
        "5m",
        TICKET,
        "{{ $labels.service }} has too few connections to its database",
        "{{ $labels.service }} 的数据库连接不够用",
        "{{ $value | humanize }} transactions a second found no connection in time.",
    ),
)

_MONEY: Final = (
    Alert(
        "GongjiPendingTooOld",
        "max by (namespace) (gongji_settlement_oldest_pending_seconds) > 120",
        "2m",
        PAGE,
        "A settlement stays PENDING",
        "有结算长时间处于处理中",
        "The oldest has been PENDING for {{ $value | humanizeDuration }}; the sweeper should have given it up.",
    ),
    Alert(
        "GongjiSweeperStopped",
        "time() - max by (namespace) (gongji_settlement_last_sweep_seconds) > 300",
        "1m",
        PAGE,
        "No sweeper of settlement gets to its end",
        "结算清扫任务停滞",
        "The last round of any replica ended {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "GongjiSettlementsLeftBehind",
        "sum by (namespace) (increase(gongji_settlement_swept_total[15m])) > 0",
        "0m",
        TICKET,
        "Settlements were left PENDING and given up by the sweeper",
        "有结算中途中断，已由清扫任务放弃",
        "About {{ $value | humanize }} in a quarter of an hour: processes died, or could not reach the database.",
    ),
    Alert(
        "GongjiAuditFinding",
        "max by (namespace, service, check) (gongji_audit_findings) > 0",
        "0m",
        PAGE,
        "The audit of {{ $labels.service }} found that this is not true: {{ $labels.check }}",
        "{{ $labels.service }} 稽核发现问题：{{ $labels.check }}",
        "{{ $value }} findings in the last audit.",
    ),
    Alert(
        "GongjiAuditOverdue",
        # Without any audit, from when the figure has been there for as long: a new installation has a day to begin.
        """
        time() - (max by (namespace, service) (gongji_audit_last_complete_seconds) > 0) > 93600
        or (max by (namespace, service) (gongji_audit_last_complete_seconds) == 0
        and max by (namespace, service) (max_over_time(gongji_audit_last_complete_seconds[2h] offset 26h)) == 0)
        """,
        "1h",
        TICKET,
        "{{ $labels.service }} has not been audited in full for more than a day",
        "{{ $labels.service }} 超过一天没有完成稽核",
        "The last complete audit ended more than 26 hours ago, or none has in as long.",
    ),
    Alert(
        "GongjiDayNotClosed",
        "time() - (max by (namespace) (gongji_settlement_unclosed_since_seconds) > 0) > 43200",
        "10m",
        TICKET,
        "A business day was not closed by noon of the next one",
        "到中午仍有业务日未日结",
        "The oldest one that is open ended {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "GongjiContradictoryOutcomes",
        "sum by (namespace) (increase(gongji_binding_contradictory_outcomes_total[1h])) > 0",
        "0m",
        TICKET,
        "Settlement told binding an outcome that contradicts an earlier one",
        "结算结果与先前通知相矛盾",
        "About {{ $value | humanize }} in an hour; the first outcome stands.",
    ),
)

_EVENTS: Final = (
    Alert(
        "GongjiOutboxOld",
        "max by (namespace, service) (gongji_outbox_oldest_unsent_seconds) > 60",
        "2m",
        PAGE,
        "Events of {{ $labels.service }} do not reach Kafka",
        "{{ $labels.service }} 的事件未能送达 Kafka",
        "The oldest event has waited for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "GongjiNoRelay",
        "max by (namespace, service) (gongji_outbox_relay_active) == 0",
        "2m",
        PAGE,
        "No replica of {{ $labels.service }} publishes events",
        "{{ $labels.service }} 没有副本在发布事件",
        "No relay holds the lease to publish.",
    ),
    Alert(
        "GongjiConsumerStalled",
        "max by (namespace, service, group) (gongji_projection_age_seconds) > 300",
        "1m",
        PAGE,
        "{{ $labels.group }} does not catch up with its events",
        "{{ $labels.group }} 消费停滞，未能跟上事件",
        "It last had all events of its partitions {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "GongjiConsumerDisconnected",
        "min by (namespace, service, group) (gongji_consumer_connected) == 0",
        "3m",
        TICKET,
        "A replica of {{ $labels.service }} does not consume as {{ $labels.group }}",
        "{{ $labels.service }} 的一个副本未在消费（{{ $labels.group }}）",
        "Kafka does not answer it, or its loop has ended.",
    ),
    Alert(
        "GongjiConsumerHalted",
        "max by (namespace, service, group) (gongji_consumer_halted) == 1",
        "0m",
        PAGE,
        "{{ $labels.group }} stopped consuming, because too many events in a row failed",
        "{{ $labels.group }} 连续失败过多，已停止消费",
        "A replica waits for somebody to find the fault and restart it.",
    ),
    Alert(
        "GongjiDeadLetters",
        "max by (namespace, service, group, topic) (gongji_dlq_open_letters) > 0",
        "2m",
        TICKET,
        "Events of {{ $labels.topic }} that {{ $labels.group }} failed on wait for somebody",
        "{{ $labels.group }} 处理失败的事件待处理（{{ $labels.topic }}）",
        "{{ $value }} letters are open.",
    ),
)

_UPKEEP: Final = (
    Alert(
        "GongjiJobFailing",
        "min by (namespace, service, job_name) (gongji_job_failures_in_row) > 2",
        "5m",
        TICKET,
        "The job {{ $labels.job_name }} of {{ $labels.service }} keeps failing",
        "{{ $labels.service }} 的任务 {{ $labels.job_name }} 持续失败",
        "On each replica it failed at least {{ $value }} times in a row.",
    ),
    Alert(
        "GongjiMonthsMissing",
        "min by (namespace, service, table) (gongji_months_ahead) < 1",
        "2h",
        TICKET,
        "{{ $labels.service }} has no month ready for what {{ $labels.table }} gets next month",
        "{{ $labels.service }} 的表 {{ $labels.table }} 没有下个月的分区",
        "Months are made three ahead, every hour, by the job make-months. Nothing is refused or lost.",
    ),
    Alert(
        "GongjiRowsWithoutMonth",
        "max by (namespace, service, table) (gongji_months_rest) > 0",
        "2h",
        TICKET,
        "Rows of {{ $labels.table }} in {{ $labels.service }} have no month of their own",
        "{{ $labels.service }} 的表 {{ $labels.table }} 有数据不在任何月份分区",
        "They are found as ever, and are never purged; the job make-months moves them once it makes their month.",
    ),
    Alert(
        "GongjiCertificateExpiring",
        "min by (namespace, service, certificate) (gongji_certificate_days_left) < 14",
        "1h",
        TICKET,
        "A certificate of {{ $labels.service }} runs out: {{ $labels.certificate }}",
        "{{ $labels.service }} 的证书即将到期：{{ $labels.certificate }}",
        "{{ $value | humanize }} days are left.",
    ),
    Alert(
        "GongjiCertificateNearlyExpired",
        "min by (namespace, service, certificate) (gongji_certificate_days_left) < 2",
        "5m",
        PAGE,
        "A certificate of {{ $labels.service }} has run out, or does so within two days: {{ $labels.certificate }}",
        "{{ $labels.service }} 的证书两天内到期或已到期：{{ $labels.certificate }}",
        "{{ $value | humanize }} days are left.",
    ),
    Alert(
        "GongjiCertificateUnreadable",
        # NaN, which no figure is equal to, below or above.
        "count by (namespace, service, certificate) (gongji_certificate_days_left != gongji_certificate_days_left) > 0",
        "10m",
        TICKET,
        "A certificate of {{ $labels.service }} cannot be read: {{ $labels.certificate }}",
        "{{ $labels.service }} 的证书无法读取：{{ $labels.certificate }}",
        "In {{ $value }} processes nobody knows how long it is still good.",
    ),
    Alert(
        "GongjiClockOff",
        "max by (namespace, service, pod) (abs(gongji_clock_offset_seconds)) > 30",
        "5m",
        PAGE,
        "The clocks of {{ $labels.pod }} and of its database differ",
        "{{ $labels.pod }} 与其数据库的时钟不一致",
        "They are {{ $value | humanizeDuration }} apart; from five minutes on the pod takes no calls.",
    ),
)

ALERTS: Final = (*_CALLS, *_MONEY, *_EVENTS, *_UPKEEP)
