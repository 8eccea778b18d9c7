"""What the tests of the Azure SDKs share: the hub as a process, clients, the other side, and waiting."""
