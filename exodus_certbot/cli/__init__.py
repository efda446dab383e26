"""The command `exodus-certbot`: arguments in, a story called, its outcome printed. Never nginx, TLS or a CA asked."""
