//! What is set in the environment and changes nothing.

use super::{Backend, Variables};

/// What names a server.
const SERVER: [&str; 4] = ["REDIS_URL", "REDIS_HOST", "REDIS_SENTINELS", "REDIS_CLUSTER"];

/// Names that other programs have for our variables.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("CACHE_DRIVER", "CACHE_BACKEND"),
    ("CACHE_STORE", "CACHE_BACKEND"),
    ("CACHE_TYPE", "CACHE_BACKEND"),
    ("CACHE_DEFAULT_TTL", "CACHE_TTL"),
    ("CACHE_PREFIX", "CACHE_NAMESPACE"),
    ("REDIS_URI", "REDIS_URL"),
    ("REDIS_HOSTNAME", "REDIS_HOST"),
    ("REDIS_USER", "REDIS_USERNAME"),
    ("REDIS_PASS", "REDIS_PASSWORD"),
    ("REDIS_DATABASE", "REDIS_DB"),
    ("REDIS_SSL", "REDIS_TLS"),
    ("REDIS_NODES", "REDIS_CLUSTER"),
];

impl Variables<'_> {
    /// What to say of settings that were probably meant for this cache, and are not read.
    pub(crate) fn unused(&self, backend: Backend) -> Vec<String> {
        let is_set = |name: &str| self.text(name).is_some();
        let mut advice = Vec::new();
        let is_by_default = backend == Backend::Local && !is_set("CACHE_BACKEND");
        if let (true, Some(server)) = (is_by_default, SERVER.into_iter().find(|name| is_set(name))) {
            advice.push(format!(
                "{server} is set and CACHE_BACKEND is not, so values are kept in this process; set CACHE_BACKEND to \
                 `redis` or `tiered`, or to `local` if this is meant"
            ));
        }
        for (other, ours) in OTHER_NAMES {
            let matters = !ours.starts_with("REDIS_") || backend != Backend::Local;
            if matters && is_set(other) && !is_set(ours) {
                advice.push(format!("{other} is set and is not read; the cache reads {ours}"));
            }
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(variables: &[&str], backend: Backend) -> Vec<String> {
        let find = |name: &str| variables.contains(&name).then(|| "text".to_owned());
        Variables(&find).unused(backend)
    }

    #[test]
    fn a_server_without_the_backend_that_uses_it_is_said() {
        let said = unused(&["REDIS_URL"], Backend::Local);
        assert!(said.len() == 1 && said[0].contains("REDIS_URL") && said[0].contains("CACHE_BACKEND"), "{said:?}");
        assert_eq!(unused(&["REDIS_URL", "CACHE_BACKEND"], Backend::Local), [""; 0]);
        assert_eq!(unused(&["REDIS_URL"], Backend::Redis), [""; 0], "it was chosen by hand");
    }

    #[test]
    fn a_variable_by_another_name_is_said_if_ours_is_missing() {
        let said = unused(&["CACHE_BACKEND", "REDIS_PASS"], Backend::Redis);
        assert!(said.len() == 1 && said[0].contains("REDIS_PASSWORD"), "{said:?}");
        assert_eq!(unused(&["CACHE_BACKEND", "REDIS_PASS", "REDIS_PASSWORD"], Backend::Redis), [""; 0]);
        assert_eq!(unused(&["CACHE_BACKEND", "REDIS_PASS"], Backend::Local), [""; 0]);
    }
}
