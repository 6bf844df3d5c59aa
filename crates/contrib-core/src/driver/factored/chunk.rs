//! Wholes with factored parts, some at a time: as many as the proximities of their parts fit into a bounded memory.

use super::work::Work;
use crate::context::Threads;
use crate::driver::entry::Entry;
use crate::driver::surplus::WholeNorm;
use crate::driver::{PlannedParts, Slots, buffer, room_for_indices};
use crate::error::Error;
use crate::floating_point::DefaultSettings;
use crate::lanes::{LANES, Line};

/// Bytes for each thread that the wholes of one chunk, and the proximities of their parts, may take.
const BYTES_A_THREAD: usize = 29 << 19;

/// Computes the contributions of all groups to all wholes and writes them out.
pub(in crate::driver) fn run(entry: &Entry<'_>, parts: usize, threads: Threads<'_>) -> Result<(), Error> {
    // Each factored group, and where its parts begin among all.
    let factored = || {
        let mut first = 0;
        entry.groups.iter().filter_map(move |group| {
            let begins = first;
            first += group.count;
            match &group.parts {
                PlannedParts::Factored(factored) => Some((&**factored, group.count, begins)),
                PlannedParts::Dense(_) => None,
            }
        })
    };
    let bytes_of_whole =
        factored().map(|(factored, ..)| factored.bytes_of_whole(entry.whole.vectors.len)).sum::<usize>();
    // An odd number of lines a whole: with a power of two between them, those of all wholes would meet in few sets of the
    // caches.
    let row_lines = parts.div_ceil(LANES) | 1;
    let bytes = row_lines.saturating_mul(size_of::<Line<f64>>()).saturating_add(bytes_of_whole);
    let fit = (threads.count() * BYTES_A_THREAD / bytes).clamp(1, entry.whole.entries);
    // Chunks of one size, or nearly.
    let chunk_len = entry.whole.entries.div_ceil(entry.whole.entries.div_ceil(fit));

    let mut proximities = buffer(chunk_len.saturating_mul(row_lines), Line([0.0; LANES]))?;
    let mut norms = buffer(chunk_len, WholeNorm::default())?;
    let mut indices = room_for_indices(entry.groups, threads.count().saturating_mul(parts))?;
    let new_work = |(factored, count, first)| Work::new(factored, entry.whole, count, first, chunk_len, threads);
    let mut works = factored().map(new_work).collect::<Result<Vec<_>, _>>()?;

    threads.enter(|| {
        let _settings = DefaultSettings::enter();
        for start in (0..entry.whole.entries).step_by(chunk_len) {
            let count = chunk_len.min(entry.whole.entries - start);
            let rows = Slots::new(Line::numbers_mut(&mut proximities), row_lines * LANES);
            let norm_of = Slots::new(&mut norms, 1);
            threads.for_each(count, |_, number| {
                // SAFETY: each number comes once, and the buffers outlive all the tasks.
                let (row, norm) = unsafe { (&mut rows.slot(number)[..parts], norm_of.slot(number)) };
                norm[0] = entry.norm_of_whole(start + number);
                entry.proximities_of_dense(start + number, &norm[0], Threads::Inline, row);
            });
            for work in &mut works {
                work.proximities(start, &norms[..count], threads, &rows);
            }
            let indices = Slots::new(&mut indices, parts);
            threads.for_each(count, |slot, number| {
                // SAFETY: as above; no other task has this slot now.
                let (row, indices) = unsafe { (&mut rows.slot(number)[..parts], indices.slot_or_none(slot)) };
                entry.write(start + number, row, indices);
            });
        }
    });
    Ok(())
}
