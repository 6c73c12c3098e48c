//! Redis.
pub(crate) struct RedisStore;
impl RedisStore {
    pub(crate) async fn connect(
        _: &crate::config::RedisConfig,
        _: crate::clock::Clock,
    ) -> crate::Result<super::broken::Broken> {
        Err(crate::Error::config("not yet"))
    }
    pub(crate) fn lazy(_: &crate::config::RedisConfig, _: crate::clock::Clock) -> crate::Result<super::broken::Broken> {
        Err(crate::Error::config("not yet"))
    }
}
