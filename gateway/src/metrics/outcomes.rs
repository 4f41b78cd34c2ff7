//! The metrics of calls' outcomes, by endpoint and by program.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    metrics::gauge,
    monitor::{Monitor, programs::ProgramCounts},
};

#[derive(Debug)]
pub(crate) struct Outcomes {
    errors: BTreeMap<(&'static str, String), u64>,
    retries: BTreeMap<&'static str, u64>,
    unknown_tokens: u64,
    programs: BTreeMap<String, ProgramCounts>,
    in_outage: bool,
}

impl Outcomes {
    pub(crate) fn of(monitor: &Monitor) -> Self {
        let counts = monitor.counts();
        let errors = counts.errors.iter();
        Self {
            errors: errors.map(|(name, count)| (name.clone(), *count)).collect(),
            retries: counts
                .retries
                .iter()
                .map(|(name, count)| (*name, *count))
                .collect(),
            unknown_tokens: counts.unknown_tokens,
            programs: counts.programs.all(),
            in_outage: monitor.outage.now().is_some(),
        }
    }

    fn errors(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Calls that failed, by the API's status or the gateway's own code";
        let mut family = to.encode_descriptor("errors", help, None, MetricType::Counter)?;
        for ((endpoint, error), count) in &self.errors {
            let labels = [("endpoint", *endpoint), ("error", error.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn retries(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Attempts beyond the first one of a call";
        let mut family = to.encode_descriptor("retries", help, None, MetricType::Counter)?;
        for (endpoint, count) in &self.retries {
            let labels = [("endpoint", *endpoint)];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn program(
        &self,
        to: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&ProgramCounts) -> u64,
    ) -> fmt::Result {
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (name, program) in &self.programs {
            let labels = [("program", name.as_str())];
            ConstCounter::new(value(program)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn programs(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.program(
            to,
            "program_sent",
            "Calls of a program that were sent",
            |it| it.sent,
        )?;
        self.program(
            to,
            "program_refused",
            "Calls of a program that the gateway rejected",
            |it| it.rejected,
        )?;
        self.program(
            to,
            "program_errors",
            "Calls of a program that failed",
            |it| it.errors,
        )?;
        let help = "Seconds that the calls of a program had waited when they were sent";
        let name = "program_wait_seconds";
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (name, program) in &self.programs {
            let labels = [("program", name.as_str())];
            ConstCounter::new(program.waited).encode(family.encode_family(&labels)?)?;
        }
        let help = "Calls of a program that wait for their turn";
        let mut family = to.encode_descriptor("program_waiting", help, None, MetricType::Gauge)?;
        for (name, program) in &self.programs {
            let labels = [("program", name.as_str())];
            ConstGauge::new(program.waiting as i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Outcomes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        self.errors(to)?;
        self.retries(to)?;
        let help = "Calls whose token is none of the gateway's";
        let unknown = ConstCounter::new(self.unknown_tokens);
        unknown.encode(to.encode_descriptor(
            "unknown_tokens",
            help,
            None,
            MetricType::Counter,
        )?)?;
        let help = "Whether the API's last three attempts and more failed";
        gauge(to, "outage", help, self.in_outage.into())?;
        self.programs(to)
    }
}
