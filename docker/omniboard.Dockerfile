# Omniboard at a fixed version: its own image is published as `latest` alone.
FROM node:20.18.1-bookworm-slim
RUN npm install --global --no-audit --no-fund omniboard@2.16.1 && npm cache clean --force
USER 1000
EXPOSE 9000
ENTRYPOINT ["omniboard"]
