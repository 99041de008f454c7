"""What several tests share: real servers, a faulty network, a cancel injector."""
