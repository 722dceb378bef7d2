//! The store alone, by reference: what a scraper costs that knows its series.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use identity::Wall;
use monitoring::series::LabelsBuilder;
use storage_disk::RealDisk;
use storage_samples::{Accept, SampleAccount, SeriesRef, SeriesSettings, SeriesStore};

use super::fleet::{Fleet, USUAL};
use crate::{Failure, process};

/// Steps that are made at once, before they are measured.
const STEPS: usize = 60;
/// Batches that wait for the disk at a time.
const WAITING: usize = 8;

/// What was taken in, and the processor time that it took.
pub(super) struct Taken {
    pub(super) samples: u64,
    /// Writing, journal and head.
    pub(super) cpu: Duration,
    /// Bringing all of it into a part afterwards.
    pub(super) seal: Duration,
}

pub(super) fn measure(folder: &Path, steps: usize, begin: i64) -> Result<Taken, Failure> {
    // All of it is in memory before any is sealed, so that both can be told apart.
    let settings = SeriesSettings {
        memory_bytes: 8 << 30,
        disk_bytes: 64 << 30,
        ahead: Duration::from_secs(7 * 86_400),
        ..SeriesSettings::default()
    };
    let (store, _) = SeriesStore::open(Arc::new(RealDisk), folder, settings)?;
    let mut fleet = Fleet::new(17, USUAL, begin);
    let series: Vec<SeriesRef> = fleet
        .names()
        .iter()
        .map(|pairs| {
            let mut labels = LabelsBuilder::default();
            for (name, value) in pairs {
                labels.set((*name).into(), value.as_str().into());
            }
            SeriesRef::new(&labels.build())
        })
        .collect();
    let (mut samples, mut cpu) = (0, Duration::ZERO);
    for _ in 0..steps.div_ceil(STEPS) {
        let made: Vec<(Vec<i64>, Vec<f64>)> = (0..STEPS)
            .map(|_| {
                let (times, values) = fleet.next();
                (times.to_vec(), values.to_vec())
            })
            .collect();
        let before = process::own_cpu();
        let mut waiting: VecDeque<Accept> = VecDeque::new();
        for (times, values) in &made {
            let mut writer = store.writer().with_room(series.len());
            for ((series, time), value) in series.iter().zip(times).zip(values) {
                writer.reference(series);
                writer.sample(*time, *value);
            }
            let received = values.len() as u64;
            let received_at = Wall(begin.unsigned_abs() * 1_000_000);
            samples += received;
            waiting.push_back(
                store.accept(SampleAccount { received_at, received, ..SampleAccount::default() }, writer),
            );
            if waiting.len() >= WAITING
                && let Some(accept) = waiting.pop_front()
            {
                accept.wait()?;
            }
        }
        for accept in waiting {
            accept.wait()?;
        }
        cpu += process::own_cpu().saturating_sub(before);
    }
    let before = process::own_cpu();
    store.seal()?;
    Ok(Taken { samples, cpu, seal: process::own_cpu().saturating_sub(before) })
}
