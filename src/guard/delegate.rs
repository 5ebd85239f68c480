//! What the proxy asks of a stream beside its bytes, answered by the stream within: one macro, so that wrappers hold nothing but
//! what they are for.

/// Passes everything but reading, writing and the socket's addresses on to a field.
macro_rules! delegate_to {
    ($wrapper:ty, $field:ident) => {
        #[async_trait::async_trait]
        impl pingora::protocols::Shutdown for $wrapper {
            async fn shutdown(&mut self) {
                self.$field.shutdown().await;
            }
        }

        impl pingora::protocols::Peek for $wrapper {}

        impl pingora::protocols::UniqueID for $wrapper {
            fn id(&self) -> pingora::protocols::UniqueIDType {
                self.$field.id()
            }
        }

        impl pingora::protocols::Ssl for $wrapper {
            fn get_ssl(&self) -> Option<&pingora::protocols::tls::TlsRef> {
                self.$field.get_ssl()
            }

            fn get_ssl_digest(&self) -> Option<std::sync::Arc<pingora::protocols::tls::SslDigest>> {
                self.$field.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
                self.$field.selected_alpn_proto()
            }
        }

        impl pingora::protocols::GetTimingDigest for $wrapper {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                self.$field.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> std::time::Duration {
                self.$field.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> std::time::Duration {
                self.$field.get_write_pending_time()
            }
        }

        impl pingora::protocols::GetProxyDigest for $wrapper {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                self.$field.get_proxy_digest()
            }
        }
    };
}

pub(super) use delegate_to;
