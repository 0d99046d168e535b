"""What `affidavit up --demo` adds: a local model provider and a little traffic.

The provider is an ordinary HTTP server that the gateway reaches over a loopback socket; nothing
else of this program knows that it exists. It speaks enough of two APIs for their official SDKs,
and every answer says that no real model gave it. The traffic goes through the gateway like
anybody's. May import the foundations only.
"""
