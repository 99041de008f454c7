"""The package managers that can build a frontend, and their commands."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

__all__ = ["Commands", "PackageManager", "StaticRuntime"]


@frozen
class Commands:
    """What one package manager is told to do, unless the mount says otherwise."""

    install: str
    build: str
    dev: str
    runtime_version: str
    """Of Bun, or of Node.js for the others."""
    get_it: str
    """How a developer gets it onto a machine."""


class PackageManager(StrEnum):
    """Installs and builds a frontend; `api.static(…, package_manager=…)`."""

    BUN = "bun"
    NPM = "npm"
    YARN = "yarn"
    PNPM = "pnpm"

    @property
    def commands(self) -> Commands:
        """Its install, build and dev commands."""
        return _TABLE[self]


StaticRuntime = PackageManager
"""Another name of `PackageManager`."""

_TABLE = {
    PackageManager.BUN: Commands(
        install="bun install --frozen-lockfile",
        build="bun run build",
        dev="bun dev",
        runtime_version="1",
        get_it="npm install --global bun, or https://bun.sh",
    ),
    PackageManager.NPM: Commands(
        install="npm ci",
        build="npm run build",
        dev="npm run dev",
        runtime_version="22",
        get_it="it comes with Node.js, https://nodejs.org",
    ),
    PackageManager.YARN: Commands(
        install="yarn install --frozen-lockfile",
        build="yarn build",
        dev="yarn dev",
        runtime_version="22",
        get_it="npm install --global yarn",
    ),
    PackageManager.PNPM: Commands(
        install="corepack enable && pnpm install --frozen-lockfile",
        build="pnpm build",
        dev="pnpm dev",
        runtime_version="22",
        get_it="npm install --global pnpm",
    ),
}
