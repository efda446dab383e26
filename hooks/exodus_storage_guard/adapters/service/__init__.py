"""The service: admission over HTTP on a Unix socket. Never a story of its own: each request calls one."""
