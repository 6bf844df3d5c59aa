//! The number of cores that this process may use, as `std::thread::available_parallelism` says it. On Linux that needs memory,
//! and ends the process where there is none.

#[cfg(not(target_os = "linux"))]
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(target_os = "linux")]
pub(crate) use linux::count;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::mem::MaybeUninit;
    use std::{iter, str};

    /// Bytes of a file that are read.
    const TEXT: usize = 4096;

    /// The longest path that the standard library opens without memory of its own.
    const PATH: usize = 383;

    /// The cores that the scheduler gives the process, or those of its share of time where these are fewer. At least 1.
    pub(crate) fn count() -> usize {
        affinity().min(share(&mut [0; TEXT]).unwrap_or(usize::MAX)).max(1)
    }

    fn affinity() -> usize {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the set has the size that is said, and zeros are a set, too.
        let cores = unsafe {
            let known = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) == 0;
            if known {
                libc::CPU_COUNT(set.assume_init_ref()).into()
            } else {
                libc::sysconf(libc::_SC_NPROCESSORS_ONLN)
            }
        };
        cores.max(1) as usize
    }

    /// The least share of time, in cores, of the process's control groups.
    fn share(text: &mut [u8; TEXT]) -> Option<usize> {
        let groups = text_of("/proc/self/cgroup", text)?;
        groups.lines().filter_map(share_of_line).min()
    }

    /// The same of a line such as `0::/user.slice` (version 2) or `4:cpu,cpuacct:/docker` (version 1).
    fn share_of_line(line: &str) -> Option<usize> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        // A group has no more than the groups that it is in. Those outside a container are not seen in it.
        let groups = || iter::successors(Some(group.trim_end_matches('/')), |group| Some(group.rsplit_once('/')?.0));
        if controllers.is_empty() {
            return groups().filter_map(|group| cores(["/sys/fs/cgroup", group, "/cpu.max"], None)).min();
        }
        controllers.split(',').find(|&controller| controller == "cpu")?;
        let of_group = |group| {
            let root = "/sys/fs/cgroup/cpu";
            cores([root, group, "/cpu.cfs_quota_us"], Some([root, group, "/cpu.cfs_period_us"]))
        };
        groups().filter_map(of_group).min()
    }

    /// A quota of time by a period, which stand in one file or in two, whose paths are given in pieces.
    fn cores(first: [&str; 3], second: Option<[&str; 3]>) -> Option<usize> {
        let mut path = [0; PATH];
        let mut text = [0; TEXT];
        let mut number = |pieces: [&str; 3], word| {
            let mut rest = &mut path[..];
            pieces.iter().try_for_each(|piece| rest.write_all(piece.as_bytes())).ok()?;
            let len = PATH - rest.len();
            let text = text_of(str::from_utf8(&path[..len]).ok()?, &mut text)?;
            // No quota is `max` or -1.
            text.split_whitespace().nth(word)?.parse::<usize>().ok()
        };
        let quota = number(first, 0)?;
        let (file, word) = second.map_or((first, 1), |second| (second, 0));
        let period = number(file, word)?;
        quota.checked_div(period)
    }

    fn text_of<'t>(path: &str, text: &'t mut [u8; TEXT]) -> Option<&'t str> {
        let mut file = File::open(path).ok()?;
        let mut len = 0;
        loop {
            match file.read(&mut text[len..]).ok()? {
                0 => return str::from_utf8(&text[..len]).ok(),
                more => len += more,
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::{env, fs, process, thread};

        #[test]
        fn the_cores_are_those_that_the_standard_library_counts() {
            assert_eq!(count(), thread::available_parallelism().unwrap().get());
        }

        #[test]
        fn a_quota_is_read_from_one_file_or_from_two() {
            let folder = env::temp_dir().join(format!("contrib-cores-{}", process::id()));
            let root = folder.to_str().unwrap();
            fs::create_dir(root).unwrap();
            for (quota, period, expected) in
                [("max", "100000", None), ("250000", "100000", Some(2)), ("5", "10", Some(0))]
            {
                for (name, text) in [
                    ("max", format!("{quota} {period}\n")),
                    ("quota", format!("{quota}\n")),
                    ("period", format!("{period}\n")),
                ] {
                    fs::write(folder.join(name), text).unwrap();
                }
                assert_eq!(cores([root, "", "/max"], None), expected);
                assert_eq!(cores([root, "", "/quota"], Some([root, "", "/period"])), expected);
            }
            assert_eq!(cores([root, "", "/none"], None), None);
            fs::remove_dir_all(root).unwrap();
        }
    }
}
