"""Install, run and watch a Triton on this machine, for laptops and tests."""
