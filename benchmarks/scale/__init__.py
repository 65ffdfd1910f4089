"""Several gateways and Tritons behind a load balancer: throughput, killed processes, a slow Triton."""
