"""What tests share: paths, ports, small images, models made for tests, running servers."""
